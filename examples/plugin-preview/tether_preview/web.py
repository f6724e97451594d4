"""The pages on a port."""

import html
import subprocess
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit


class Pages:
    """Those that were shown, by the path of their URL, each as it is when somebody looks."""

    def __init__(self, title: str, renderer: str | None) -> None:
        self._title = title
        self._renderer = renderer
        self._shown: dict[str, Path] = {}

    def add(self, path: Path) -> str:
        """Serve a page from now on; returns the path of its URL."""
        path = path.resolve()
        self._shown[str(path)] = path
        return quote(str(path))

    def at(self, url: str) -> str | None:
        """What is at a URL, as HTML."""
        path = unquote(urlsplit(url).path)
        if path == "/":
            links = (
                f'<li><a href="{quote(page)}">{html.escape(page)}</a>' for page in list(self._shown)
            )
            return self._html(f"<ul>{''.join(links)}</ul>")
        return self._html(self._rendered(self._shown[path])) if path in self._shown else None

    def _html(self, body: str) -> str:
        title = html.escape(self._title)
        return f"<!doctype html><meta charset=utf-8><title>{title}</title>\n{body}\n"

    def _rendered(self, page: Path) -> str:
        """By cmark, which leaves out raw HTML; the text itself where there is no cmark."""
        if self._renderer is None:
            return f"<pre>{html.escape(page.read_text(encoding='utf-8'))}</pre>"
        done = subprocess.run([self._renderer, page], capture_output=True, check=True, timeout=10)
        return done.stdout.decode()


def page_handler(pages: Pages) -> type[BaseHTTPRequestHandler]:
    """What the standard library's web server calls for each request."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = pages.at(self.path)
            if found is None:
                self.send_error(404, "This page was not shown")
                return
            body = found.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
