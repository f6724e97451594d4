"""Starting a process on a terminal of its own: one stream each way."""

from __future__ import annotations

import fcntl
import os
import struct
import termios
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from ..oom_score import CHILD_OOM_SCORE
from .launch import Launch, prepare
from .pipes import InputPipe, OutputPipe
from .process import Process
from .program import spawn_failed

_LAST_BYTES = 1024 * 1024
"""The most that is read of a terminal once its process has ended, whatever still writes there."""


class TerminalProcess(Process):
    """A process that leads a session on a terminal, which is the only one of its outputs.

    When it ends, the kernel hangs the terminal up: what it leaves in front gets a SIGHUP.
    """

    def __init__(self, pid: int, output: OutputPipe, typing: TypedInput, oom_score: int) -> None:
        super().__init__(pid, [output], typing, oom_score)
        self._typing = typing

    def resize(self, rows: int, cols: int) -> None:
        """The terminal has another size now; what runs in front gets SIGWINCH."""
        if self._typing.open:
            _resize(self._typing.descriptor, rows, cols)

    def close_stdin(self) -> None:
        """Type the end of input, as a person does with C-d. Only the first time."""
        self._typing.type_end()

    def close(self) -> None:
        """As of every process."""
        super().close()
        self._typing.close()

    def _on_exit(self, code: int | None, by_signal: int | None) -> None:
        super()._on_exit(code, by_signal)
        self._typing.close()


class TerminalOutput(OutputPipe):
    """Reads the client's end of a terminal. There is no telling how much is in it, so after the
    process's end it is read until it is empty, which the kernel tells exactly.
    """

    def _waiting(self) -> int:
        return _LAST_BYTES

    def _may_have_more(self, count: int, limit: int) -> bool:
        return True  # one read gives 4 KiB at most

    def _read(self, limit: int) -> int | None:
        try:
            count = super()._read(limit)
        except OSError:  # EIO: no process has the other end open any more
            return 0
        if count is None and self._on_drained is not None:
            self._left = 0
            self._check_drained()
        return count


class TypedInput(InputPipe):
    """What is typed at a terminal."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        self.descriptor = descriptor
        self._in_line = False
        self._ended = False

    async def write(self, data: bytes) -> None:
        """Type; as of a pipe."""
        if data:
            self._in_line = data[-1:] not in b"\r\n"
        await super().write(data)

    def type_end(self) -> None:
        """In the middle of a line the first C-d hands over what was typed, the second ends it."""
        if self.open and not self._ended and not self._waiting:
            self._ended = True
            end = termios.tcgetattr(self.descriptor)[6][termios.VEOF]
            try:
                os.write(self.descriptor, end * 2 if self._in_line else end)
            except OSError:  # full, or hung up: nobody reads it
                return


def start_on_terminal(
    command: Sequence[str] | str,
    on_output: Callable[[memoryview], None],
    *,
    size: tuple[int, int],
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    user: str | int | None = None,
    umask: int | None = None,
    nice: int | None = None,
    shell: Sequence[str] = ("/bin/sh", "-c"),
    in_child: Callable[[], None] | None = None,
) -> TerminalProcess:
    """As `start_process`, on a terminal of so many rows and columns.

    `in_child` runs in the child before its exec, when it has its terminal.
    """
    launch = prepare(command, env=env, cwd=cwd, user=user, umask=umask, nice=nice, shell=shell)
    opened: list[int] = []
    try:
        pid = _spawn(launch, size, opened, in_child)
        master = opened[0]
        typing = os.dup(master)
    except BaseException:
        for descriptor in opened:
            os.close(descriptor)
        raise
    os.close(opened[1])
    output = TerminalOutput(master, on_output, None)
    return TerminalProcess(pid, output, TypedInput(typing), CHILD_OOM_SCORE)


def _spawn(
    launch: Launch,
    size: tuple[int, int],
    opened: list[int],
    in_child: Callable[[], None] | None,
) -> int:
    try:
        opened += os.openpty()
    except OSError as error:
        raise spawn_failed(error) from error
    master, slave = opened
    _resize(master, *size)
    if launch.account is not None and not launch.account.is_current:
        os.fchown(slave, launch.account.uid, -1)  # it may want to open it by its name
    return launch.spawn((slave, slave, slave), partial(_in_child, in_child))


def _in_child(further: Callable[[], None] | None) -> None:
    """A session leader's terminal becomes the controlling one."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    if further is not None:
        further()


def _resize(descriptor: int, rows: int, cols: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
