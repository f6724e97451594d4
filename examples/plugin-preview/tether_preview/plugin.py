"""The plugin: one object of this class lives in a process of its own in the sandbox."""

import asyncio
import shutil
import threading
from http.server import ThreadingHTTPServer

from tether_runtime_client.plugin import ActionContext, ActionError, Plugin, handles

from . import pages
from .messages import BrokenLink, BrokenLinkFound, PageObservation, PreviewConfig, ShowAction
from .web import Pages, page_handler

PORT = 4180


class Preview(Plugin[PreviewConfig]):
    """Shows Markdown pages, and finds their broken links."""

    async def start(self) -> None:
        """Begin to serve, before the first action."""
        self._pages = Pages(self.config.title, self._renderer())
        self._server = ThreadingHTTPServer(("127.0.0.1", PORT), page_handler(self._pages))
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    async def stop(self) -> None:
        """The sandbox ends."""
        await asyncio.to_thread(self._server.shutdown)
        self._server.server_close()

    async def health(self) -> None:
        """Asked by `tether plugins` and `runtime.plugins(health=True)`."""
        if not self._thread.is_alive():
            raise RuntimeError("the web server has ended")

    @handles(ShowAction)
    async def show(self, action: ShowAction, context: ActionContext) -> PageObservation:
        """Look at a page, and serve it from now on."""
        path = await context.session_folder(action.session) / action.path
        try:
            text = await asyncio.to_thread(path.read_text, encoding="utf-8")
        except (OSError, UnicodeDecodeError) as problem:
            text = f"{path} cannot be shown: {problem}"
            raise ActionError(text, hint="Name a Markdown file") from None
        broken = [BrokenLink(line=n, target=to) for n, to in pages.broken_links(path, text)]
        for link in broken:
            context.emit(BrokenLinkFound(path=str(path), line=link.line, target=link.target))
        return PageObservation(
            url=self._pages.add(path),
            title=pages.title(text),
            words=len(text.split()),
            broken_links=tuple(broken),
        )

    def _renderer(self) -> str | None:
        """The cmark that setup.sh put there, or this machine's (backend="local"), or none."""
        if self.places.prefix is not None:
            return str(self.places.prefix / "bin" / "cmark")
        return shutil.which("cmark")
