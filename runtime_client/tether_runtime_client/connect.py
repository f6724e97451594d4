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
        _connect(connection, path)
    except OSError as problem:
        sys.stderr.write(f"no runtime client answers at {path}: {problem.strerror}\n")
        return FAILED
    blocking = os.get_blocking(1)
    os.set_blocking(1, False)
    try:
        _join(connection)
    except OSError as problem:
        sys.stderr.write(f"the connection to the runtime client broke: {problem.strerror}\n")
        return FAILED
    finally:
        os.set_blocking(1, blocking)
        connection.close()
    return 0


def _connect(connection: socket.socket, path: str) -> None:
    """Through a descriptor of the folder: the kernel takes paths of 107 bytes at most."""
    folder = os.open(os.path.dirname(path) or ".", os.O_PATH | os.O_DIRECTORY)
    try:
        connection.connect(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
    finally:
        os.close(folder)


class _Way:
    """One direction: reads no more than it could write, so neither waits for the other."""

    def __init__(self, source: int, target: int) -> None:
        self.source = source
        self.target = target
        self.waiting = memoryview(b"")
        self.over = False

    def read(self) -> None:
        """Called when the source can be read."""
        try:
            self.waiting = memoryview(os.read(self.source, _BLOCK))
        except BlockingIOError:
            return  # select says when to go on
        self.over = not self.waiting

    def write(self) -> None:
        """Called when the target takes something."""
        try:
            self.waiting = self.waiting[os.write(self.target, self.waiting) :]
        except BlockingIOError:
            return  # another writer was faster


def _join(connection: socket.socket) -> None:
    """Until the client ends its side: what standard input still has leads nowhere then."""
    there, back = _Way(0, connection.fileno()), _Way(connection.fileno(), 1)
    connection.setblocking(False)
    ended = False
    while not (back.over and not back.waiting):
        ways = [way for way in (there, back) if not way.over or way.waiting]
        readable = [way.source for way in ways if not way.waiting]
        writable = [way.target for way in ways if way.waiting]
        can_read, can_write, _ = select.select(readable, writable, [])
        for way in ways:
            if way.waiting and way.target in can_write:
                way.write()
            elif not way.waiting and way.source in can_read:
                way.read()
        if there.over and not (ended or back.over):
            ended = True
            connection.shutdown(socket.SHUT_WR)
