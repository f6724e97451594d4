"""`tether-runtime-client connect`: standard input and output joined to the client's socket.

This is what an engine's exec runs to reach a client that nothing else reaches. Only the standard
library's smallest parts are imported: it must start in milliseconds.
"""

from __future__ import annotations

import os
import select
import socket
import sys

DEFAULT_SOCKET = "/opt/tether/socket/client.sock"
_BLOCK = 256 * 1024
FAILED = 1


def connect(path: str = DEFAULT_SOCKET) -> int:
    """Carry bytes both ways until both are at their end; returns the exit code."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(path)
    except OSError as problem:
        sys.stderr.write(f"no runtime client answers at {path}: {problem.strerror}\n")
        return FAILED
    try:
        _join(connection)
    except (BrokenPipeError, ConnectionResetError):
        return FAILED
    return 0


def _join(connection: socket.socket) -> None:
    sources = {0: connection.fileno(), connection.fileno(): 1}
    while sources:
        ready, _, _ = select.select(list(sources), [], [])
        for source in ready:
            data = os.read(source, _BLOCK)
            if data:
                _write(sources[source], data)
                continue
            del sources[source]
            if source == 0:
                connection.shutdown(socket.SHUT_WR)
            else:
                # Nothing more can come; what standard input still has leads nowhere.
                return


def _write(target: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(target, view) :]
