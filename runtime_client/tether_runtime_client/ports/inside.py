"""A place inside that takes connections: a port of the loopback, or a UNIX socket."""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import dataclass
from pathlib import Path

CONNECT_TIMEOUT_S = 10.0
_LOOPBACK = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


@dataclass(frozen=True, slots=True)
class Inside:
    """Where a forward leads. Exactly one of the two is given."""

    port: int | None
    path: str | None

    def __str__(self) -> str:
        return f"port {self.port}" if self.path is None else self.path

    async def connect(self) -> socket.socket:
        """A connected, non-blocking socket; raises `OSError`, the first of them where several."""
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            if self.path is not None:
                return await _connect_unix(Path(self.path))
            problems = []
            for family, host in _LOOPBACK:
                try:
                    return await _connect(socket.socket(family), (host, self.port))
                except OSError as problem:
                    problems.append(problem)
            raise problems[0]


async def _connect(connection: socket.socket, address: object) -> socket.socket:
    connection.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(connection, address)  # type: ignore[arg-type]
    except BaseException:
        connection.close()
        raise
    return connection


async def _connect_unix(path: Path) -> socket.socket:
    """Through its folder's descriptor: the kernel takes 107 bytes at most."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return await _connect(socket.socket(socket.AF_UNIX), f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)
