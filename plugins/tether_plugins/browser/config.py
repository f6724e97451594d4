"""What can be set of the plugin, for a whole sandbox."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tether_runtime_client.plugin import Message
from tether_runtime_client.protocol.browser import ContextSettings

_Seconds = Annotated[float, Field(gt=0, le=3600)]


class BrowserConfig(Message):
    """The configuration of the plugin `browser`.

    Attributes:
        executable: which Chromium is started: `auto` (the one that the plugin brought; where it
            brought none, the image's), `image` (Chromium or Chrome on the sandbox's PATH), a path,
            or a program on PATH.
        cdp_url: a browser that runs elsewhere and speaks the Chrome DevTools Protocol, such as
            `http://127.0.0.1:9222`; nothing is started then.
        sidecar_url: where the plugin's sidecar listens, which starts the browser then; filled in
            where a runtime was asked for `sidecars=["browser"]`.
        sandbox: whether Chromium confines its pages with a sandbox of its own. `auto` has it where
            the place allows it: not for root, and not where user namespaces are forbidden.
        arguments: more flags for Chromium.
        context: what contexts have where nothing else is said of them.
        max_contexts, max_tabs: how many contexts there may be, and tabs in each.
        start_timeout_s: how long the browser may take to come up.
        observe_timeout_s: how long a part of an observation may take, until it is left out.
        settle_s: how long a navigation or a load that a step began is waited for.
        download_wait_s: how long an observation waits for downloads that are under way.
        files_bytes: what screenshots, long texts, downloads and recordings may take on disk; the
            oldest go first.
        video_bytes: what one recording may take, which ends there.
    """

    executable: Annotated[str, Field(min_length=1)] = "auto"
    cdp_url: Annotated[str, Field(pattern=r"^(http|https|ws|wss)://")] | None = None
    sidecar_url: Annotated[str, Field(pattern=r"^ws://")] | None = None
    sandbox: Literal["auto", "on", "off"] = "auto"
    arguments: tuple[Annotated[str, Field(pattern=r"^--")], ...] = ()
    context: ContextSettings = Field(default_factory=ContextSettings)
    max_contexts: Annotated[int, Field(ge=1, le=100)] = 16
    max_tabs: Annotated[int, Field(ge=1, le=100)] = 32
    start_timeout_s: _Seconds = 60.0
    observe_timeout_s: _Seconds = 10.0
    settle_s: _Seconds = 5.0
    download_wait_s: Annotated[float, Field(ge=0, le=3600)] = 2.0
    files_bytes: Annotated[int, Field(ge=0)] = 1024**3
    video_bytes: Annotated[int, Field(ge=0)] = 128 * 1024**2

    @model_validator(mode="after")
    def _starts_or_connects(self) -> Self:
        if self.cdp_url is not None and (self.executable != "auto" or self.arguments):
            raise ValueError(
                "with `cdp_url` none is started: leave out `executable` and `arguments`"
            )
        if self.sidecar_url is not None and (self.executable != "auto" or self.cdp_url):
            raise ValueError("a sidecar has a browser: leave out `executable` and `cdp_url`")
        return self
