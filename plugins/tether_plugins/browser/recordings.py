"""What is recorded of a context, by choice: a trace of all that happened, a video of its tabs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tether_runtime_client.protocol.browser import ContextSettings

from . import limits
from .failures import plain_message
from .files import FileStore
from .limits import cut
from .video import Recording

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Page


@dataclass(frozen=True, slots=True)
class Recorded:
    """The files, and what is missing of them."""

    trace_path: str | None = None
    video_path: str | None = None
    recording_problem: str | None = None


class Recordings:
    """Of one context."""

    def __init__(self, context: BrowserContext, files: FileStore, video_bytes: int) -> None:
        self._context = context
        self._files = files
        self._video_bytes = video_bytes
        self._trace: Path | None = None
        self._video: Recording | None = None
        self._problems: list[str] = []

    async def start(self, browser: Browser, settings: ContextSettings) -> None:
        """As the settings choose; raises what Playwright does where it cannot be."""
        if settings.trace:
            await self._context.tracing.start(screenshots=True, snapshots=True)
            self._trace = self._files.new("trace.zip")
        if settings.video:
            size = settings.viewport.width, settings.viewport.height
            path = self._files.new("video.webm")
            self._video = await Recording.start(browser, path, *size, self._video_bytes)

    async def follow(self, page: Page) -> None:
        """The video shows this one from now on."""
        if self._video is not None:
            await self._video.follow(page)

    async def end(self, *, alive: bool) -> Recorded:
        """Finish the files. Nothing is asked of a browser that is not alive."""
        self._problems = []
        trace, video = await self._end_trace(alive), await self._end_video(alive)
        return Recorded(trace, video, "; ".join(self._problems) or None)

    async def _end_trace(self, alive: bool) -> str | None:
        path, self._trace = self._trace, None
        if path is None:
            return None
        if not alive:
            self._problems.append("there is no trace: it went with the browser")
            return None
        try:
            await self._context.tracing.stop(path=path)
            self._files.adopt(path)
        except Exception as problem:
            path.unlink(missing_ok=True)
            self._problems.append(f"there is no trace: {cut(plain_message(problem), limits.ENTRY)}")
            return None
        return str(path)

    async def _end_video(self, alive: bool) -> str | None:
        video, self._video = self._video, None
        if video is None:
            return None
        await video.end(alive=alive)
        if video.problem is not None:
            self._problems.append(f"the video ended early: {video.problem}")
        self._files.adopt(video.path)
        return str(video.path)
