"""The first thing in a plugin's process: `python -I -m tether_runtime_client.plugin_process`.

It is started with the socket to the client as its standard input, and with nothing of the image's
environment, which might break our Python. The plugin, and what it starts, get that environment from
here on; and what is imported from here on is the plugin's where it brings it.
"""

from __future__ import annotations

import base64
import json
import os
import resource
import socket
import struct
import sys
from contextlib import suppress

_LOCKS = 10  # RLIMIT_LOCKS: see shell.mark


def main() -> int:
    """Read what this is to be, become that, and serve; returns the exit code."""
    link = _take_link()
    body = _first_frame(link)
    if not body:
        return 0
    start = json.loads(body)
    with suppress(OSError, ValueError):
        if start["mark"]:
            resource.setrlimit(_LOCKS, (start["mark"], start["mark"]))
    os.environ.clear()
    for item in base64.urlsafe_b64decode(start["environment"]).split(b"\0")[:-1]:
        name, _, value = item.partition(b"=")
        with suppress(OSError):  # a name that no variable can have
            os.environb[name] = value
    sys.path[:0] = start["path"]
    from tether_runtime_client.plugin.runner import run

    return run(link, body)


def _take_link() -> socket.socket:
    """Where nothing that is started inherits it; a standard input that is empty in its place."""
    link = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return link


def _first_frame(link: socket.socket) -> bytes:
    """See `plugin.wire`, which cannot be imported yet."""
    head = _exactly(link, 4)
    return _exactly(link, struct.unpack(">I", head)[0]) if head else b""


def _exactly(link: socket.socket, count: int) -> bytes:
    """As many bytes; none where the client has gone."""
    found = bytearray()
    while len(found) < count:
        data = link.recv(min(count - len(found), 1024 * 1024))
        if not data:
            return b""
        found += data
    return bytes(found)


if __name__ == "__main__":
    sys.exit(main())
