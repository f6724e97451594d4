"""What a `BrowserOutputObservation` is made of."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .message import Message

BrowserPart = Literal[
    "tabs",
    "tree",
    "focused",
    "text",
    "console",
    "failed_requests",
    "dialogs",
    "downloads",
    "screenshot",
    "timings",
]


class BrowserTab(Message):
    """A tab, by its number, which it keeps. `opened_by_page` is a popup."""

    tab: int
    url: str
    title: str = ""
    opened_by_page: bool = False
    problem: str | None = None


class FocusedElement(Message):
    """What has the focus: its id where the tree has one, its tag, role and text."""

    element: str | None = None
    tag: str
    role: str | None = None
    name: str = ""


class ConsoleMessage(Message):
    """What a page wrote to its console; `error` of the page's own is of the kind `exception`."""

    kind: str
    text: str
    location: str = ""


class FailedRequest(Message):
    """A request with no answer (`error` says why), or with an answer of 400 and up (`status`)."""

    method: str
    url: str
    kind: str
    status: int | None = None
    error: str | None = None


class ShownDialog(Message):
    """A dialog that a page opened, and how it was answered at once."""

    kind: str
    message: str
    answer: Literal["accepted", "dismissed"]
    default_value: str = ""


class BrowserDownload(Message):
    """A file that a page gave, at `path` in the sandbox once it is `done`; `size` is in bytes."""

    url: str
    suggested_name: str
    state: Literal["running", "done", "failed"]
    path: str | None = None
    size: int = 0
    problem: str | None = None


class BrowserScreenshot(Message):
    """A picture of the page, in the file at `path` in the sandbox.

    `data` is the picture itself where it is no larger than the action's `inline_bytes`; others are
    read by their path, and travel as bytes. With `marks` it has the number of the element `e12` as
    `12` at its upper left, and `marked` names those elements.
    """

    format: Literal["png", "jpeg"]
    path: str
    size: int
    width: int
    height: int
    full_page: bool = False
    data: bytes | None = None
    marked: tuple[str, ...] = ()


class BrowserTimings(Message):
    """Seconds. `steps` has one for each step, `observing` is what came after them.

    `response`, `content_loaded` and `loaded` count from when the page's document was asked for, and
    are None until they are over. `starting` is the browser's start, 0 where it ran already.
    """

    total: float
    starting: float = 0.0
    steps: tuple[float, ...] = ()
    observing: float = 0.0
    response: float | None = None
    content_loaded: float | None = None
    loaded: float | None = None


class BrowserInfo(Message):
    """The browser that was used.

    `sandbox` says whether Chromium confines its pages with a sandbox of its own, and why not;
    `flags` are those that the place asked for; `starts` counts how often it was started.
    `state_lost` says how it ended before it was started again: its pages, cookies and storage are
    gone; `video_path` is what was recorded of this context until then. Both are told once.
    """

    version: str
    executable: str
    sandbox: str
    flags: tuple[str, ...] = ()
    starts: int = 1
    state_lost: str | None = None
    video_path: str | None = None


class Viewport(Message):
    """What is seen of a page, in CSS pixels."""

    width: Annotated[int, Field(ge=50, le=10_000)] = 1280
    height: Annotated[int, Field(ge=50, le=10_000)] = 720


class BrowserCredentials(Message):
    """For pages that ask for a name and a password by HTTP; `origin` is all of them if None."""

    username: str
    password: str = Field(repr=False)
    origin: str | None = None


class BrowserProxy(Message):
    """`http://HOST:PORT` or `socks5://HOST:PORT`; `bypass` are hosts, with commas between them."""

    server: str
    bypass: str | None = None
    username: str | None = None
    password: str | None = Field(default=None, repr=False)


class ContextSettings(Message):
    """How a context is made; None leaves what the browser has.

    `locale` is as `de-DE`, `timezone` as `Europe/Berlin`. With `ignore_https_errors` certificates
    may be anyone's. `block` are addresses that are not asked for, with `*` and `**` in them. With
    `trace` all that happens is recorded, for `playwright show-trace`, until the context is closed;
    with `video` what the tab that is shown looks like, as WebM (VP8), 10 pictures a second at most,
    whose longer side has no more than 1280 pixels.
    """

    viewport: Viewport = Field(default_factory=Viewport)
    locale: str | None = None
    timezone: str | None = None
    user_agent: str | None = None
    proxy: BrowserProxy | None = None
    credentials: BrowserCredentials | None = None
    ignore_https_errors: bool = False
    block: tuple[Annotated[str, Field(min_length=1, max_length=4096)], ...] = ()
    trace: bool = False
    video: bool = False
