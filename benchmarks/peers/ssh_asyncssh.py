"""asyncssh over one connection: each shell or command is a channel of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import asyncssh

from .base import Peer, Run
from .marker import BASH, QUIET, Marked
from .sshd import Sshd


@asynccontextmanager
async def asyncssh_peers(sshd: Sshd) -> AsyncIterator[list[Peer]]:
    """A kept shell without a terminal and with one, and a command at a time."""
    async with connect(sshd) as connection:
        yield [
            Peer("asyncssh, kept shell", "a shell, marked", partial(_kept, connection, None)),
            Peer(
                "asyncssh, kept shell, terminal",
                "a shell, marked",
                partial(_kept, connection, "xterm-256color"),
                has_terminal=True,
            ),
            Peer(
                "asyncssh, one exec a command",
                "nothing",
                partial(_once, connection),
                block=5,
                each=10,
            ),
        ]


def connect(sshd: Sshd) -> asyncssh.connect:
    """A connection to that server, without this user's settings."""
    return asyncssh.connect(
        sshd.host,
        sshd.port,
        username=sshd.user,
        client_keys=[str(sshd.key)],
        known_hosts=str(sshd.known_hosts),
        config=None,
        agent_path=None,
    )


class _Session(asyncssh.SSHClientSession[bytes]):
    """Takes output where it comes in: asyncssh's streams would cost another wake-up."""

    def __init__(self) -> None:
        self.marked = Marked()
        self.done: asyncio.Future[int] | None = None

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        try:
            size = self.marked.feed(data)
        except RuntimeError as problem:
            self._end(problem)
        else:
            if size is not None and self.done is not None and not self.done.done():
                self.done.set_result(size)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(RuntimeError("the channel was closed"))

    def _end(self, problem: RuntimeError) -> None:
        if self.done is not None and not self.done.done():
            self.done.set_exception(problem)


@asynccontextmanager
async def _kept(connection: asyncssh.SSHClientConnection, term: str | None) -> AsyncIterator[Run]:
    command = " ".join([*BASH, "--noediting"])
    channel, session = await connection.create_session(
        _Session, command, encoding=None, term_type=term
    )

    async def run(command: str) -> int:
        session.done = asyncio.get_running_loop().create_future()
        channel.write(session.marked.line(command))
        return await session.done

    if term is not None:
        await run(QUIET)
    try:
        yield run
    finally:
        channel.close()
        await channel.wait_closed()


@asynccontextmanager
async def _once(connection: asyncssh.SSHClientConnection) -> AsyncIterator[Run]:
    async def run(command: str) -> int:
        done = await connection.run(command, encoding=None, check=True)
        assert isinstance(done.stdout, bytes)
        return len(done.stdout)

    yield run
