"""A process on a pseudo-terminal of its own, for people: no shell session stands behind it."""

from __future__ import annotations

import asyncio
import fcntl
import functools
import os
import subprocess
import termios
from collections.abc import Callable, Mapping, Sequence

from ..oom_score import raise_oom_score
from ..shell.family import Family
from ..shell.mark import VARIABLE, Mark
from ..shell.terminal import Terminal
from . import registry

READ_LIMIT = 64 * 1024
_END_S = 2.0
"""For an end by SIGHUP and SIGTERM, then by SIGKILL."""


class PtyProcess:
    """Starts in the constructor, which raises what `subprocess.Popen` does; `close` ends it.

    `exited` has the exit code, 128 + n for signal n. Used by one coroutine on each side.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str,
        size: tuple[int, int],
        sessions: str,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._registry = sessions
        self._family = Family()
        master, slave = os.openpty()
        try:
            self._terminal = Terminal(master)
            self._terminal.resize(*size)
            self._child = _spawn(argv, slave, env, cwd, self._family.mark)
        except BaseException:
            os.close(master)
            raise
        finally:
            os.close(slave)
        self.exited: asyncio.Future[int] = self._loop.create_future()
        self._watch()

    def _watch(self) -> None:
        self._family.add(self._child.pid)
        registry.note(self._registry, self._child.pid)
        self._pidfd = os.pidfd_open(self._child.pid)
        self._loop.add_reader(self._pidfd, self._on_exit)

    def _on_exit(self) -> None:
        self._loop.remove_reader(self._pidfd)
        code = self._child.wait()  # it has ended: this does not wait
        registry.forget(self._registry, self._child.pid)
        if not self.exited.done():
            self.exited.set_result(128 - code if code < 0 else code)

    async def read(self) -> bytes:
        """Output, as soon as there is some; nothing once no process has the terminal open."""
        while True:
            data, is_open = self.read_now()
            if data or not is_open:
                return data
            await self._wait(self._loop.add_reader, self._loop.remove_reader)

    def read_now(self) -> tuple[bytes, bool]:
        """The output that is there, and whether more can come."""
        chunks: list[bytes] = []
        is_open = self._terminal.read(lambda view: chunks.append(bytes(view)), READ_LIMIT)
        return b"".join(chunks), is_open or bool(chunks)

    def type(self, data: bytes) -> int:
        """Type the bytes; returns how many were taken, which is none while its buffer is full."""
        try:
            return self._terminal.write(data)
        except OSError:  # no process has the terminal open: nobody will ever read it
            return len(data)

    async def typable(self) -> None:
        """Return when the terminal takes input again."""
        await self._wait(self._loop.add_writer, self._loop.remove_writer)

    def resize(self, rows: int, cols: int) -> None:
        """The terminal has another size now; what runs in front gets SIGWINCH."""
        self._terminal.resize(rows, cols)

    async def hang_up(self) -> None:
        """End everything that runs on this terminal or came from it. Twice is safe."""
        await self._family.end(_END_S, ask_shells=True)
        await asyncio.wait([self.exited], timeout=_END_S)

    async def close(self) -> None:
        """End what runs, unless it has ended by itself, and free everything."""
        try:
            if not self.exited.done():
                await self.hang_up()
        finally:
            self._free()

    def _free(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        os.close(self._terminal.fd)

    async def _wait(self, add: Callable[..., None], remove: Callable[[int], bool]) -> None:
        ready: asyncio.Future[None] = self._loop.create_future()
        add(self._terminal.fd, _resolve, ready)
        try:
            await ready
        finally:
            remove(self._terminal.fd)


def _resolve(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _spawn(
    argv: Sequence[str], slave: int, env: Mapping[str, str], cwd: str, mark: Mark
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**env, VARIABLE: mark.value},
        cwd=cwd,
        start_new_session=True,
        preexec_fn=functools.partial(_become_program, mark),
    )


def _become_program(mark: Mark) -> None:
    """Runs in the child: a session leader's terminal becomes the controlling one."""
    mark.put_on()
    raise_oom_score()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
