"""A site of awkward pages. It needs nothing but Python, so that it runs in a sandbox too:

    python site.py [CERTIFICATE KEY]

prints its port and serves until it is killed.
"""

from __future__ import annotations

import ssl
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGES = {
    "/": "<title>Home</title><h1>Welcome</h1><a href=/form>Form</a> <a href=/popup>Popups</a>"
    "<p>plain text</p>",
    "/form": """<title>Form</title><form action=/done>
      <label>Name <input name=name></label>
      <label>Colour <select name=colour><option>red<option value=b>blue</select></label>
      <label><input type=checkbox name=agree> Agree</label>
      <label>File <input type=file id=file></label>
      <button>Send</button></form>
      <button id=twice ondblclick="document.title='twice'">Twice</button>
      <button id=choose>Choose</button>
      <div id=hover onmouseover="document.title='hovered'">hover</div>
      <input id=keys aria-label=Keys onkeydown="log.textContent += event.key + ' '">
      <p id=log></p><p id=chosen></p>
      <script>
        const show = input => input.onchange = async () =>
          chosen.textContent = input.files[0].name + ':' + await input.files[0].text();
        show(file);
        choose.onclick = () => {
          const input = document.createElement('input'); input.type = 'file';
          show(input); input.click();
        };
      </script>""",
    "/done": "<title>Done</title><script>document.write(location.search)</script>",
    "/spa": """<title>App</title><nav><button onclick="go('a')">A</button>
      <button onclick="go('b')">B</button></nav><main id=main>start</main>
      <script>
        const go = async name => {
          history.pushState({}, '', '/spa/' + name);
          main.textContent = 'loading';
          main.textContent = await (await fetch('/slow?0.2')).text() + ' ' + name;
        };
      </script>""",
    "/frames": """<title>Frames</title><iframe src=/inner title=inner></iframe>
      <div id=host></div><script>
        host.attachShadow({mode: 'open'}).innerHTML =
          '<button onclick="document.title=`shadow`">Shadow</button>';
      </script>""",
    "/strangers": """<title>Strangers</title><div id=out></div><script>
        const frame = document.createElement('iframe');
        frame.src = location.href.replace('127.0.0.1', 'localhost').replace('strangers', 'inner');
        const outer = out.attachShadow({mode: 'open'});
        outer.innerHTML = '<section></section>';
        const inner = outer.firstChild.attachShadow({mode: 'open'});
        inner.innerHTML = '<input aria-label=Deep>';
        inner.append(frame);
        addEventListener('message', event => document.title = event.data);
        onbeforeunload = event => event.preventDefault();
      </script>""",
    "/inner": """<button onclick="top.postMessage('told', '*'); top.document.title='inside'">
      Inside</button>
      <p>in the frame</p>""",
    "/endless": """<title>Endless</title><div id=list></div><script>
        const more = () => { for (let i = 0; i < 40; i++) {
          const item = document.createElement('p');
          item.textContent = 'item ' + list.children.length; list.append(item); } };
        more();
        addEventListener('scroll', () => {
          if (innerHeight + scrollY > document.body.scrollHeight - 100) more();
        });
      </script>""",
    "/popup": """<title>Popups</title><a href=/ target=_blank>New</a>
      <button onclick="window.open('/form')">Open</button>""",
    "/dialogs": """<title>Dialogs</title>
      <button onclick="alert('hello')">Alert</button>
      <button onclick="answer.textContent = prompt('who?', 'me')">Prompt</button>
      <button onclick="answer.textContent = confirm('sure?')">Confirm</button><p id=answer></p>""",
    "/noise": """<title>Noise</title><script>
        console.log('a line'); console.error('an error');
        fetch('/absent'); fetch('http://127.0.0.1:1/').catch(() => 0);
        setTimeout(() => { throw new Error('thrown'); });
      </script>""",
    "/files": """<title>Files</title><a href=/file>Get</a> <a href=/endless-file>Endless</a>""",
    "/drag": """<title>Drag</title><div id=here draggable=true
        style="width:50px;height:50px;background:red">from</div>
      <div id=there style="width:50px;height:50px;background:blue">to</div><script>
        here.ondragstart = event => event.dataTransfer.setData('text', 'x');
        there.ondragover = event => event.preventDefault();
        there.ondrop = () => document.title = 'dropped';
      </script>""",
    "/same": "<title>Same</title><button>One</button><button>One</button>",
    "/hang": "<title>Hang</title><button onclick='for (;;);'>Hang</button>",
    "/hidden": "<title>Hidden</title><button style='display:none'>Secret</button>",
    "/cookie": "<title>Cookie</title><script>document.cookie = 'seen=1; max-age=1000';"
    "localStorage.setItem('kept', 'yes')</script>",
    "/shown": "<title>Shown</title><script>document.write(document.cookie + ' '"
    " + localStorage.getItem('kept'))</script>",
    "/place": "<title>Place</title><script>document.write(JSON.stringify([navigator.language,"
    " Intl.DateTimeFormat().resolvedOptions().timeZone, navigator.userAgent, innerWidth,"
    " innerHeight]))</script>",
    "/waits": "<title>Waits</title><p>shown</p><img src=/never>",
    "/blocked": "<title>Blocked</title><img src=/pixel.png>",
}


def large(count: int) -> str:
    """A page of three times as many nodes."""
    buttons = (f"<li><button>button {number}</button></li>" for number in range(count))
    return "<title>Large</title>" + "".join(buttons)


class Handler(BaseHTTPRequestHandler):
    """Each page by its path."""

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path == "/never" or path == "/endless-file":
            self._begin_and_wait(path)
        elif path == "/private" and self.headers.get("Authorization") is None:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="private"')
            self.end_headers()
        elif path == "/round":
            self.send_response(302)
            self.send_header("Location", path)
            self.end_headers()
        elif path == "/huge-file":
            self._pour(100)
        elif path == "/file":
            self._send(
                b"contents of a file\n", ("Content-Disposition", "attachment; filename=a.txt")
            )
        else:
            if path == "/slow":
                threading.Event().wait(float(query))
            made = large(int(query or 2500)) if path == "/large" else None
            text = made or {**PAGES, "/slow": "slow", "/private": "let in"}.get(path)
            self._send((text or "nothing is here").encode(), status=200 if text else 404)

    def _send(self, data: bytes, *headers: tuple[str, str], status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _pour(self, megabytes: int) -> None:
        self.send_response(200)
        self.send_header("Content-Disposition", "attachment; filename=huge.bin")
        self.end_headers()
        with suppress(OSError):  # the browser gives up
            for _ in range(megabytes):
                self.wfile.write(bytes(1_000_000))
                threading.Event().wait(0.02)

    def _begin_and_wait(self, path: str) -> None:
        if path == "/endless-file":
            self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Disposition", "attachment; filename=b.bin")
            self.end_headers()
            self.wfile.write(b"x" * 1000)
            self.wfile.flush()
        self.rfile.read(1)  # until the browser gives up

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is said of requests."""


def serve(certificate: str | None = None, key: str | None = None) -> ThreadingHTTPServer:
    """A server on a free port of the loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    return server


if __name__ == "__main__":
    site = serve(*sys.argv[1:3])
    sys.stdout.write(f"{site.server_address[1]}\n")
    sys.stdout.flush()
    site.serve_forever()
