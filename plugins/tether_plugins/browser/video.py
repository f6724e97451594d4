"""What a context's tab looks like, recorded: Chromium itself encodes the pictures that it shows.

So a recording needs no encoder beside the browser, and works with any Chromium. The encoder is a
page of its own, which the recorded ones cannot reach.
"""

from __future__ import annotations

import asyncio
import base64
import os
import time
from collections.abc import Awaitable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from . import limits
from .failures import plain_message
from .limits import cut
from .webm import Webm

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Page, Route, ScreencastFrame

CLOSE_S = 5.0
FRAME_S = 0.1
"""The least between two pictures. A page that does not change gives none."""

_ADDRESS = "https://recorder.invalid/"
"""Only what came by HTTPS has encoders. Nothing is asked for there."""

_PREPARE = """async ({width, height, bitrate}) => {
  const config = {codec: 'vp8', width, height, bitrate, latencyMode: 'quality'};
  if (!globalThis.VideoEncoder || !(await VideoEncoder.isConfigSupported(config)).supported)
    throw new Error('this browser cannot encode VP8');
  const canvas = new OffscreenCanvas(width, height), drawn = canvas.getContext('2d');
  let chunks = [], problem = null;
  const encoder = new VideoEncoder({
    output: chunk => chunks.push(chunk), error: error => { problem = error; }});
  encoder.configure(config);
  const text = blob => new Promise(done => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.split(',')[1] ?? '');
    reader.readAsDataURL(blob);
  });
  globalThis.encode = async ([picture, at, keyFrame]) => {
    const blob = await (await fetch('data:image/jpeg;base64,' + picture)).blob();
    const image = await createImageBitmap(blob);
    const scale = Math.min(width / image.width, height / image.height);
    drawn.fillRect(0, 0, width, height);
    drawn.drawImage(image, 0, 0, image.width * scale, image.height * scale);
    image.close();
    const frame = new VideoFrame(canvas, {timestamp: at * 1000});
    encoder.encode(frame, {keyFrame});
    frame.close();
    await encoder.flush();
    if (problem) throw problem;
    const made = chunks;
    chunks = [];
    return Promise.all(made.map(async chunk => {
      const bytes = new Uint8Array(chunk.byteLength);
      chunk.copyTo(bytes);
      return [await text(new Blob([bytes])), chunk.type === 'key'];
    }));
  };
}"""
_ENCODE = "picture => encode(picture)"


class Recording:
    """One file, of whatever page is followed. It ends by itself where it cannot go on.

    Attributes:
        path: the file, which can be played at any time.
        problem: why it ended before it was to.
    """

    def __init__(
        self, path: Path, encoder: BrowserContext, page: Page, size: tuple[int, int], limit: int
    ) -> None:
        self.path = path
        self.problem: str | None = None
        self._encoder = encoder
        self._page = page
        self._size = size
        self._limit = limit
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.fdopen(os.open(path, flags, 0o600), "r+b", buffering=0)
        self._webm = Webm(self._file, *size)
        self._began = time.monotonic()
        self._followed: Page | None = None
        self._frame: bytes | None = None
        self._has_shown = False
        self._ends = False
        self._changed = asyncio.Event()
        self._taken = asyncio.Event()
        self._task = asyncio.create_task(self._record())

    @classmethod
    async def start(cls, browser: Browser, path: Path, width: int, height: int, limit: int) -> Self:
        """Raises where the browser cannot encode. `limit` is the file's bytes."""
        context = await browser.new_context()
        try:
            page = await context.new_page()
            await page.route("**/*", _blank)
            await page.goto(_ADDRESS)
            scale = min(1.0, limits.VIDEO_SIDE / max(width, height))
            size = int(width * scale) & ~1, int(height * scale) & ~1
            config = {"width": size[0], "height": size[1], "bitrate": limits.VIDEO_BITRATE}
            await page.evaluate(_PREPARE, config)
            return cls(path, context, page, size, limit)
        except BaseException:
            await _in_time(context.close())
            raise

    async def follow(self, page: Page) -> None:
        """Record this one from now on."""
        if page is self._followed or self._ends or self.problem is not None:
            return
        await self._leave()
        self._followed = page
        page.on("load", self._loaded)
        await self._start(page)

    async def end(self, *, alive: bool) -> None:
        """Finish the file. Nothing is asked of a browser that is not alive. Twice is safe."""
        if self._ends:
            return
        self._ends = True
        if alive:
            await self._leave()
            self._changed.set()
            await asyncio.wait([self._task], timeout=CLOSE_S)
        self._task.cancel()
        try:
            with self._file:
                self._webm.end(self._now())
        except OSError as problem:
            self.problem = self.problem or f"it could not be written: {problem.strerror}"
        if alive:
            await _in_time(self._encoder.close())

    def _now(self) -> int:
        return int((time.monotonic() - self._began) * 1000)

    async def _leave(self) -> None:
        page, self._followed = self._followed, None
        if page is not None:
            page.remove_listener("load", self._loaded)
            await _in_time(page.screencast.stop())

    async def _start(self, page: Page) -> None:
        self._has_shown = False
        width, height = self._size
        starting = page.screencast.start(
            on_frame=self._shown, size={"width": width, "height": height}, quality=80
        )
        await _in_time(starting)

    async def _loaded(self, page: Page) -> None:
        """Chromium gives no pictures at all if it was asked for them while a page came."""
        if page is self._followed and not self._has_shown:
            await _in_time(page.screencast.stop())
            await self._start(page)

    async def _shown(self, frame: ScreencastFrame) -> None:
        """Chromium waits for the end of this before it makes many more pictures."""
        self._has_shown = True
        self._frame = frame["data"]
        self._taken.clear()
        self._changed.set()
        if not self._task.done():
            await self._taken.wait()

    async def _record(self) -> None:
        try:
            while not self._ends or self._frame is not None:
                await self._changed.wait()
                self._changed.clear()
                picture, self._frame = self._frame, None
                if picture is not None:
                    await self._encode(picture)
                    await asyncio.sleep(FRAME_S)
                self._taken.set()
        except Exception as problem:
            self.problem = cut(plain_message(problem), limits.MESSAGE)
        finally:
            self._taken.set()

    async def _encode(self, picture: bytes) -> None:
        at = self._now()
        wanted = [base64.b64encode(picture).decode(), at, self._webm.needs_key(at)]
        async with asyncio.timeout(CLOSE_S):
            chunks = await self._page.evaluate(_ENCODE, wanted)
        for text, key in chunks:
            data = base64.b64decode(text)
            if self._file.tell() + len(data) > self._limit:
                raise OSError(f"it took all of its {self._limit:,} bytes, after {at / 1000:.0f} s")
            self._webm.add(data, at, key=key)


async def _blank(route: Route) -> None:
    await route.fulfill(content_type="text/html", body="")


async def _in_time(doing: Awaitable[object]) -> None:
    """Of pages and browsers that may be gone already, or hang."""
    with suppress(Exception):
        async with asyncio.timeout(CLOSE_S):
            await doing
