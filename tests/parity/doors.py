"""Two ways into a machine, behind one face: SSH, and a Tether runtime.

What a scenario needs is here in the terms both have. The SSH side is asyncssh with its SFTP
client, used as its documentation shows.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Protocol

import asyncssh

from tether_runtime_client.protocol.actions import ExecSignalAction
from tether_runtime_client.protocol.events import ExecOutputDelta
from tether_runtime_client.protocol.observations import ExecObservation
from tether_server import CmdRunAction, EventStreamRuntime, ExecAction, ListFilesAction
from tether_server.process import Process

HERE = "127.0.0.1"


class Done(NamedTuple):
    """How a process ended: a signal's name without SIG, or an exit code."""

    stdout: bytes
    stderr: bytes
    exit_code: int | None
    signal: str | None = None


class Typed(Protocol):
    """A program on a terminal."""

    async def read(self) -> bytes: ...
    async def write(self, data: bytes) -> None: ...
    def resize(self, rows: int, cols: int) -> None: ...
    async def exit_code(self) -> int: ...


class Kept(Protocol):
    """A shell that stays: what it printed, and `$?`."""

    async def run(self, command: str) -> tuple[str, int]: ...


class Running(Protocol):
    """A process without a terminal while it runs."""

    async def line(self) -> bytes: ...
    async def signal(self, name: str) -> None: ...
    async def done(self) -> Done: ...


class Door(ABC):
    """A way in. Commands are text for the machine's shell."""

    name: str

    @abstractmethod
    async def run(
        self, command: str, *, stdin: bytes = b"", env: Mapping[str, str] | None = None
    ) -> Done:
        """Run a process without a terminal to its end."""

    @abstractmethod
    def start(self, command: str) -> contextlib.AbstractAsyncContextManager[Running]:
        """The same, with a look at it meanwhile."""

    @abstractmethod
    def shell(self) -> contextlib.AbstractAsyncContextManager[Kept]:
        """Keep a bash."""

    @abstractmethod
    def terminal(
        self, command: str, *, rows: int = 24, cols: int = 80
    ) -> contextlib.AbstractAsyncContextManager[Typed]:
        """Run a process on a terminal."""

    @abstractmethod
    async def put(self, source: Path, target: str) -> None:
        """Copy a file or a tree in, with modes, times and links."""

    @abstractmethod
    async def get(self, source: str, target: Path) -> None:
        """Copy a file or a tree out."""

    @abstractmethod
    async def names(self, folder: str) -> dict[str, str]:
        """What is in a folder: `file`, `directory` or `link` by name."""

    @abstractmethod
    def forward(self, port: int) -> contextlib.AbstractAsyncContextManager[int]:
        """A port of loopback here for one of loopback there."""

    @abstractmethod
    def reverse(self, port: int) -> contextlib.AbstractAsyncContextManager[int]:
        """A port of loopback there for one of loopback here."""

    async def output(self, command: str) -> str:
        """What a command that has to end well printed."""
        done = await self.run(command)
        assert (done.exit_code, done.stderr) == (0, b""), done
        return done.stdout.decode("utf-8", "surrogateescape")


class SshDoor(Door):
    """asyncssh to an SSH server."""

    name = "ssh"

    def __init__(self, connection: asyncssh.SSHClientConnection, sftp: asyncssh.SFTPClient) -> None:
        self._connection = connection
        self._sftp = sftp

    async def run(
        self, command: str, *, stdin: bytes = b"", env: Mapping[str, str] | None = None
    ) -> Done:
        given = {} if stdin else {"stdin": asyncssh.DEVNULL}
        options = {"env": env or {}, "encoding": None, **given}
        async with self._connection.create_process(command, **options) as process:
            if stdin:
                with suppress(BrokenPipeError):  # it has ended, and wants none of it
                    process.stdin.write(stdin)
                    process.stdin.write_eof()
            return _done(await process.wait())

    @asynccontextmanager
    async def start(self, command: str) -> AsyncIterator[Running]:
        async with self._connection.create_process(command, encoding=None) as process:
            yield _SshRunning(process)

    @asynccontextmanager
    async def shell(self) -> AsyncIterator[Kept]:
        command = "bash --norc --noprofile 2>&1"
        async with self._connection.create_process(command, encoding=None) as process:
            yield _SshShell(process)
            process.stdin.write_eof()

    @asynccontextmanager
    async def terminal(
        self, command: str, *, rows: int = 24, cols: int = 80
    ) -> AsyncIterator[Typed]:
        async with self._connection.create_process(
            command, encoding=None, term_type="xterm-256color", term_size=(cols, rows)
        ) as process:
            yield _SshTerminal(process)
            process.close()

    async def put(self, source: Path, target: str) -> None:
        paths = os.fsencode(source), target.encode()  # a name need not be text
        await self._sftp.put(*paths, recurse=True, preserve=True, follow_symlinks=False)

    async def get(self, source: str, target: Path) -> None:
        paths = source.encode(), os.fsencode(target)
        await self._sftp.get(*paths, recurse=True, preserve=True, follow_symlinks=False)

    async def names(self, folder: str) -> dict[str, str]:
        entries = await self._sftp.readdir(folder.encode())
        return {
            name: _kind(entry.attrs.permissions or 0)
            for entry in entries
            if (name := _text(entry.filename)) not in (".", "..")
        }

    @asynccontextmanager
    async def forward(self, port: int) -> AsyncIterator[int]:
        async with await self._connection.forward_local_port(HERE, 0, HERE, port) as listener:
            yield listener.get_port()

    @asynccontextmanager
    async def reverse(self, port: int) -> AsyncIterator[int]:
        async with await self._connection.forward_remote_port(HERE, 0, HERE, port) as listener:
            yield listener.get_port()


class _SshRunning:
    def __init__(self, process: asyncssh.SSHClientProcess[bytes]) -> None:
        self._process = process
        self._lines: list[bytes] = []

    async def line(self) -> bytes:
        self._lines.append(await self._process.stdout.readline())
        return self._lines[-1]

    async def signal(self, name: str) -> None:
        self._process.send_signal(name)

    async def done(self) -> Done:
        self._process.stdin.write_eof()
        done = _done(await self._process.wait())
        return done._replace(stdout=b"".join(self._lines) + done.stdout)


class _SshShell:
    """A line after each command prints its status; nothing else here looks like it."""

    def __init__(self, process: asyncssh.SSHClientProcess[bytes]) -> None:
        self._process = process

    async def run(self, command: str) -> tuple[str, int]:
        self._process.stdin.write(f"{command}\nprintf '\\nEND-OF-COMMAND %d\\n' $?\n".encode())
        told = await self._process.stdout.readuntil(b"\nEND-OF-COMMAND ")
        code = await self._process.stdout.readline()
        return told.removesuffix(b"\nEND-OF-COMMAND ").decode(), int(code)


class _SshTerminal:
    def __init__(self, process: asyncssh.SSHClientProcess[bytes]) -> None:
        self._process = process

    async def read(self) -> bytes:
        return await self._process.stdout.read(4096)

    async def write(self, data: bytes) -> None:
        self._process.stdin.write(data)

    def resize(self, rows: int, cols: int) -> None:
        self._process.change_terminal_size(cols, rows)

    async def exit_code(self) -> int:
        code = (await self._process.wait()).exit_status
        assert code is not None
        return code


class TetherDoor(Door):
    """A runtime. Its `sh` for processes, its sessions for shells."""

    def __init__(self, name: str, runtime: EventStreamRuntime, session: str) -> None:
        self.name = name
        self._runtime = runtime
        self._session = session

    async def run(
        self, command: str, *, stdin: bytes = b"", env: Mapping[str, str] | None = None
    ) -> Done:
        return _executed(await self._runtime.exec(command, stdin=stdin, env=env))

    @asynccontextmanager
    async def start(self, command: str) -> AsyncIterator[Running]:
        running = _TetherRunning(self._runtime, command)
        try:
            yield running
        finally:
            await running.close()

    @asynccontextmanager
    async def shell(self) -> AsyncIterator[Kept]:
        yield _TetherShell(self._runtime, self._session)

    @asynccontextmanager
    async def terminal(
        self, command: str, *, rows: int = 24, cols: int = 80
    ) -> AsyncIterator[Typed]:
        spawning = self._runtime.spawn(["sh", "-c", command], tty=True, size=(rows, cols))
        async with await spawning as process:
            yield _TetherTerminal(process)

    async def put(self, source: Path, target: str) -> None:
        await self._runtime.upload(source, target)

    async def get(self, source: str, target: Path) -> None:
        await self._runtime.download(source, target)

    async def names(self, folder: str) -> dict[str, str]:
        seen = await self._runtime.run(ListFilesAction(path=folder))
        kinds = {"symlink": "link"}
        return {entry.path: kinds.get(entry.type, entry.type) for entry in seen.entries}

    @asynccontextmanager
    async def forward(self, port: int) -> AsyncIterator[int]:
        async with await self._runtime.forward(port) as forward:
            yield forward.port

    @asynccontextmanager
    async def reverse(self, port: int) -> AsyncIterator[int]:
        async with await self._runtime.reverse(port, port=0) as reverse:
            yield reverse.port


class _TetherTerminal:
    def __init__(self, process: Process) -> None:
        self._process = process

    async def read(self) -> bytes:
        return await self._process.stdout.read(4096)

    async def write(self, data: bytes) -> None:
        await self._process.stdin.write(data)

    def resize(self, rows: int, cols: int) -> None:
        self._process.resize(rows, cols)

    async def exit_code(self) -> int:
        return await self._process.wait()


class _TetherRunning:
    def __init__(self, runtime: EventStreamRuntime, command: str) -> None:
        self._runtime = runtime
        self._id = f"parity-{id(self)}"
        self._events = runtime.stream(ExecAction(command=command), id=self._id)
        self._seen = b""
        self._read = 0
        self._told: ExecObservation | None = None

    async def line(self) -> bytes:
        while b"\n" not in self._seen[self._read :]:
            await self._next()
        end = self._seen.index(b"\n", self._read) + 1
        line, self._read = self._seen[self._read : end], end
        return line

    async def signal(self, name: str) -> None:
        await self._runtime.run(ExecSignalAction(target_id=self._id, signal=f"SIG{name}"))

    async def done(self) -> Done:
        while self._told is None:
            await self._next()
        return _executed(self._told)

    async def close(self) -> None:
        await self._events.aclose()  # type: ignore[attr-defined]

    async def _next(self) -> None:
        event = await anext(self._events)
        if isinstance(event, ExecOutputDelta) and event.stream == "stdout":
            self._seen += event.data
        elif isinstance(event, ExecObservation):
            self._told = event


class _TetherShell:
    def __init__(self, runtime: EventStreamRuntime, session: str) -> None:
        self._runtime = runtime
        self._session = session

    async def run(self, command: str) -> tuple[str, int]:
        action = CmdRunAction(command=command, session=self._session, timeout_s=60)
        seen = await self._runtime.run(action)
        assert seen.exit_code is not None, seen
        return seen.content, seen.exit_code


async def read_until(terminal: Typed, wanted: bytes, timeout_s: float = 20) -> bytes:
    """What a terminal shows until it has shown this."""
    shown = b""
    async with asyncio.timeout(timeout_s):
        while wanted not in shown:
            data = await terminal.read()
            assert data, (wanted, shown)
            shown += data
    return shown


async def read_all(terminal: Typed) -> bytes:
    """What a terminal shows until it ends."""
    shown = b""
    async with asyncio.timeout(20):
        while data := await terminal.read():
            shown += data
    return shown


def _done(done: asyncssh.SSHCompletedProcess) -> Done:
    assert isinstance(done.stdout, bytes)
    assert isinstance(done.stderr, bytes)
    code = None if done.exit_signal else done.exit_status
    return Done(done.stdout, done.stderr, code, done.exit_signal and done.exit_signal[0])


def _executed(seen: ExecObservation) -> Done:
    if seen.signal is None:
        return Done(seen.stdout, seen.stderr, seen.exit_code)
    name = signal.Signals(seen.signal).name.removeprefix("SIG")
    return Done(seen.stdout, seen.stderr, None, name)


def _kind(mode: int) -> str:
    kinds: Sequence[tuple[int, str]] = [(stat.S_IFDIR, "directory"), (stat.S_IFLNK, "link")]
    return next((name for kind, name in kinds if stat.S_IFMT(mode) == kind), "file")


def _text(name: bytes | str) -> str:
    return name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name
