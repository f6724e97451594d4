"""The floors: the least that the parts of a job cost on this machine, without any of Tether."""

from __future__ import annotations

import asyncio
import os
import pty
import selectors
import subprocess
import sys
import termios
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal, Protocol, Self

from websockets.asyncio.client import ClientConnection, unix_connect

_READ = 64 * 1024
_BASH = ("bash", "--norc", "--noprofile")


class PipeBash:
    """A kept bash in reach of blocking calls: commands by a pipe, statuses by another pipe."""

    def __init__(self) -> None:
        self._status, told = os.pipe()
        self._process = subprocess.Popen(
            _BASH, stdin=subprocess.PIPE, pass_fds=[told], bufsize=0, close_fds=True
        )
        os.close(told)
        self._told = told

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()
        os.close(self._status)

    def run(self, command: str) -> None:
        """Run a command that writes nothing."""
        self.begin(command)
        self.ended()

    def begin(self, command: str) -> int:
        """Hand over a command; its status line comes on the descriptor returned."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\necho $? >&{self._told}\n".encode())
        return self._status

    def ended(self) -> bool:
        """Wait for the status line, which comes whole."""
        return bool(os.read(self._status, 100))


class Begins(Protocol):
    """A kept shell that reports each command's end on a descriptor."""

    def begin(self, command: str) -> int:
        """Hand over a command that writes nothing; returns the descriptor."""

    def ended(self) -> bool:
        """Read what has come there; whether the command has ended."""


def run_crowd(shells: Sequence[Begins], command: str, each: int, after: Callable[[], None]) -> None:
    """Run a command `each` times in each shell, all at once, in one thread; `after` each."""
    with selectors.DefaultSelector() as selector:
        for shell in shells:
            selector.register(shell.begin(command), selectors.EVENT_READ, (shell, each - 1))
        while selector.get_map():
            for key, _ in selector.select():
                shell, left = key.data
                if not shell.ended():
                    continue
                after()
                if left:
                    selector.modify(shell.begin(command), key.events, (shell, left - 1))
                else:
                    selector.unregister(key.fd)


class PtyBash(PipeBash):
    """The same with its output on a pseudo-terminal, without post-processing."""

    def __init__(self) -> None:
        self._terminal, other = pty.openpty()
        mode = termios.tcgetattr(other)
        mode[1] &= ~termios.OPOST
        termios.tcsetattr(other, termios.TCSANOW, mode)
        super().__init__()
        # Not inherited but opened: only commands write to the terminal, bash itself does not.
        self.run(f"exec >{os.ttyname(other)} 2>&1")
        os.close(other)

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        os.close(self._terminal)

    def read(self, command: str, size: int) -> None:
        """Run a command that writes `size` bytes, and read them in a tight loop."""
        self.begin(command)
        left = size
        while left > 0:
            left -= len(os.read(self._terminal, _READ))
        self.ended()


@asynccontextmanager
async def websocket_peer(
    kind: Literal["echo", "bash"], folder: Path
) -> AsyncIterator[BareWebsocket]:
    """A process of its own behind a bare websocket on a UNIX socket (see `floor_server`)."""
    path = str(folder / f"{kind}.sock")
    command = [sys.executable, str(Path(__file__).with_name("floor_server.py")), kind, path]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        await process.stdout.readline()
        async with unix_connect(path, uri="ws://floor/", compression=None) as connection:
            yield BareWebsocket(connection)
    finally:
        process.terminate()
        await process.wait()


class BareWebsocket:
    """The other end of a bare websocket."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def ask(self, message: str) -> str | bytes:
        """Send a message and wait for the answer."""
        await self._connection.send(message)
        return await self._connection.recv()

    async def ask_many(self, message: str, count: int) -> None:
        """Send a message so many times, and only then wait for the answers."""
        for _ in range(count):
            await self._connection.send(message)
        for _ in range(count):
            await self._connection.recv()
