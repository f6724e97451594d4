"""What a Jupyter cell shows, as a notebook would keep it, and what is told of kernels."""

from __future__ import annotations

import base64
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from .message import Message

KernelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
KernelEndCause = Literal["exit", "signal", "out_of_memory", "killed", "restart", "shutdown"]
MimeType = Annotated[str, Field(max_length=128)]


class OmittedPart(Message):
    """One form of a display that is not here: too large, or not what its type says.

    `size` is in bytes, of the file at `path` where there is one.
    """

    mime: MimeType
    size: int
    path: str | None = None
    reason: str


class MimeBundle(Message):
    """One thing in several forms, by MIME type, as Jupyter has it: binary ones are base64.

    `metadata` is Jupyter's own, such as an image's width.
    """

    data: dict[MimeType, JsonValue] = Field(default_factory=dict)
    metadata: dict[str, JsonValue] = Field(default_factory=dict)
    omitted: tuple[OmittedPart, ...] = ()

    @property
    def text(self) -> str | None:
        """The plain text, which widgets and most other things have as well."""
        return self._text("text/plain")

    @property
    def html(self) -> str | None:
        return self._text("text/html")

    @property
    def markdown(self) -> str | None:
        return self._text("text/markdown")

    @property
    def latex(self) -> str | None:
        return self._text("text/latex")

    @property
    def svg(self) -> str | None:
        return self._text("image/svg+xml")

    @property
    def png(self) -> bytes | None:
        return self._bytes("image/png")

    @property
    def jpeg(self) -> bytes | None:
        return self._bytes("image/jpeg")

    @property
    def json(self) -> JsonValue:  # type: ignore[override]  # in place of a deprecated method
        return self.data.get("application/json")

    @property
    def plotly(self) -> JsonValue:
        """A figure: its data and its layout."""
        return self.data.get("application/vnd.plotly.v1+json")

    @property
    def widget(self) -> JsonValue:
        """Which widget it is, by its model's id. What it looks like as text is in `text`."""
        return self.data.get("application/vnd.jupyter.widget-view+json")

    def _text(self, mime: str) -> str | None:
        value = self.data.get(mime)
        return value if isinstance(value, str) else None

    def _bytes(self, mime: str) -> bytes | None:
        value = self._text(mime)
        return None if value is None else base64.b64decode(value)


class StreamOutput(Message):
    """What was written to one of the two streams, without a pause for anything else.

    `text` is as it was written, with control sequences; in its middle `omitted_bytes` are missing.
    """

    type: Literal["stream"] = "stream"
    name: Literal["stdout", "stderr"]
    text: str
    omitted_bytes: int = 0


class DisplayData(Message):
    """What displays and results have in common."""

    data: MimeBundle


class DisplayOutput(DisplayData):
    """Something that was displayed; by its `display_id` it can be updated later."""

    type: Literal["display_data"] = "display_data"
    display_id: str | None = None


class ResultOutput(DisplayData):
    """The value of a cell's last expression."""

    type: Literal["execute_result"] = "execute_result"
    execution_count: int | None = None
    display_id: str | None = None


class ErrorOutput(Message):
    """An exception that nothing caught: its type, its text, and its traceback in both forms."""

    type: Literal["error"] = "error"
    name: str
    value: str
    traceback: str
    traceback_ansi: str


CellOutput = Annotated[
    StreamOutput | DisplayOutput | ResultOutput | ErrorOutput, Field(discriminator="type")
]


class PythonInfo(Message):
    """The Python of a kernel, and why it is that one.

    `brought` is where what the plugin brings for it stands among its own packages: not at all (it
    has an ipykernel), `after` them, or `before` them where some of its own are too old for that.
    """

    executable: str
    version: str
    source: Literal["image", "environment", "named"]
    ipykernel: str
    brought: Literal["none", "after", "before"] = "none"
    reason: str = ""


class KernelEnd(Message):
    """How a kernel's process ended. `output` is the last that it wrote past Jupyter."""

    cause: KernelEndCause
    reason: str
    exit_code: int | None = None
    signal: int | None = None
    output: str = ""


class InputPrompt(Message):
    """What a cell asks for; a `password` is not to be shown."""

    text: str
    password: bool = False


class DisplayUpdate(Message):
    """A display of an earlier cell shows something else from now on."""

    display_id: str
    data: MimeBundle
