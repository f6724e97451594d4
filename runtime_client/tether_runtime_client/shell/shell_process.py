"""One bash process with its terminal, control channel, status channel and mailboxes.

Nothing here knows what a command is; `session.py` gives it lines and reads its reports.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import os
import signal
import socket
import termios
from collections.abc import Mapping
from typing import Protocol

import pexpect
import ptyprocess

from ..proctree import read_process
from .condition import Condition
from .control import ControlLines
from .descriptors import Descriptors
from .errors import NoRoom, ShellStartError
from .family import Family
from .mailboxes import Mailboxes
from .mark import VARIABLE, Mark
from .processes import signal_actions
from .spawn import BashSpawn, become_shell, choose_base, take_terminal
from .terminal import Terminal
from .writer import Writer

_LOOKS = 10  # at a shell that is to stand still: they take longer than that mostly does


class ShellEvents(Protocol):
    """What a shell process tells its owner. All are called on the loop."""

    def terminal_readable(self, shell: ShellProcess) -> None: ...

    def status_readable(self, shell: ShellProcess) -> None: ...

    def control_closed(self, shell: ShellProcess) -> None:
        """bash let go of its control channel: it executed another program, or is ending."""

    def exited(self, shell: ShellProcess) -> None: ...


class ShellProcess:
    """Starts in the constructor, which takes about as long as a fork and an exec.

    Raises ShellStartError. `close` frees every descriptor and kills nothing.
    """

    def __init__(
        self,
        bash: str,
        cwd: str,
        env: Mapping[str, str],
        size: tuple[int, int],
        events: ShellEvents,
        family: Family,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._events = events
        self.refused = False  # a line could not be sent: it was not read
        self.exit_code: int | None = None  # a signal's negative number, as subprocess has it
        self.alive = True
        self._at_end = False
        self._held = False
        self.descriptors = Descriptors(choose_base())
        self.lines = ControlLines(self.descriptors)
        argv = [bash, "--noediting", "--norc", "--noprofile", "-i"]
        with contextlib.ExitStack() as failed:
            handed = self._open(failed)
            self._spawn(argv, cwd, env, size, handed, family.mark)
            failed.callback(self._child.release)
            failed.callback(self.terminal.let_go)
            family.add(self.pid)
            self._pidfd = os.pidfd_open(self.pid)
            failed.pop_all()
        self._sending = Writer(self._control.fileno(), self._send)
        self._typing = Writer(self.terminal.fd, self.terminal.write)
        self._watch()

    def _open(self, failed: contextlib.ExitStack) -> list[socket.socket]:
        ours, theirs = socket.socketpair()
        status, reports = socket.socketpair()
        self._control, self._status = ours, status
        self.mailboxes = Mailboxes()
        failed.callback(self.mailboxes.close)
        for sock in (ours, status, theirs, reports):
            sock.setblocking(sock in (theirs, reports))
            failed.callback(sock.close)
        # What a command writes back into the control channel, or reads from the status one,
        # meets a closed end.
        status.shutdown(socket.SHUT_WR)
        return [theirs, reports]

    def _spawn(
        self,
        argv: list[str],
        cwd: str,
        env: Mapping[str, str],
        size: tuple[int, int],
        theirs: list[socket.socket],
        mark: Mark,
    ) -> None:
        handed = [*(sock.fileno() for sock in theirs), *self.mailboxes.fds]
        fds = self.descriptors
        in_child = functools.partial(become_shell, fds, handed, cwd, mark)
        env = {**env, VARIABLE: mark.value}
        try:
            self._child = BashSpawn(argv, env=env, size=size, pass_fds=handed, in_child=in_child)
        except BlockingIOError as error:  # EAGAIN, of fork
            raise NoRoom(argv[0]) from error
        except (OSError, pexpect.ExceptionPexpect, ptyprocess.PtyProcessError) as error:
            raise ShellStartError(f"cannot start {argv[0]}: {error}") from error
        channel, reports = (os.fstat(sock.fileno()).st_ino for sock in theirs)
        for sock in theirs:
            sock.close()
        self.pid = self.group = int(self._child.ptyproc.pid)
        self.condition = Condition(self.pid, channel, reports)
        self.terminal = Terminal(int(self._child.ptyproc.fd), take_terminal(self._status))

    def _watch(self) -> None:
        self._loop.add_reader(self.terminal.fd, self._events.terminal_readable, self)
        self._loop.add_reader(self._status.fileno(), self._events.status_readable, self)
        self._loop.add_reader(self._control.fileno(), self._control_readable)
        self._loop.add_reader(self._pidfd, self._ended)

    def _control_readable(self) -> None:
        try:
            data = self._control.recv(65536)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if not data:
            self._loop.remove_reader(self._control.fileno())
            self._events.control_closed(self)

    def _ended(self) -> None:
        self.reap()
        self._events.exited(self)

    def reap(self) -> bool:
        """Collect the exit status if the shell has ended; returns whether it has."""
        if not self.alive:
            return True
        try:
            result = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:  # somebody else reaped it: the code is not known
            result, self.alive = None, False
        if result is not None:
            exited = result.si_code == os.CLD_EXITED
            self.exit_code = result.si_status if exited else -result.si_status
            self.alive = False
        if not self.alive:
            self._loop.remove_reader(self._pidfd)
        return not self.alive

    def send(self, line: bytes) -> None:
        """Write to the control channel now; what does not fit follows as bash reads."""
        self._sending.write(line)

    def _send(self, data: bytes | memoryview) -> int:
        try:
            return self._control.send(data)
        except BlockingIOError:
            return 0
        except ConnectionError:  # it ended, as its pidfd says, or it closed the channel
            self.refused = True
            return len(data)

    def type(self, data: bytes) -> None:
        """Type the bytes; what the terminal cannot take yet follows as programs read."""
        self._typing.write(data)

    @property
    def typing(self) -> bool:
        """Whether some of what was typed has not fitted into the terminal yet."""
        return self._typing.left > 0

    def forget_typed(self) -> None:
        """Drop what was typed and read by nobody, so that the next command does not get it."""
        self._typing.drop()
        self.terminal.flush_input()

    def unread(self) -> int:
        """What bash has not read yet of what was sent: 0 once it has taken everything."""
        queued = fcntl.ioctl(self._control.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
        return self._sending.left + int.from_bytes(queued, "little")

    def read_status(self) -> bytes:
        """What arrived on the status channel, without waiting; empty when nothing did."""
        try:
            data = self._status.recv(65536)
        except BlockingIOError:
            return b""
        except ConnectionError:
            data = b""
        if not data:  # every holder of the other end is gone
            self._loop.remove_reader(self._status.fileno())
        elif self.condition.image is None:
            self.condition.note_image()
        return data

    def kill(self) -> None:
        """Kill the shell alone, at once, if it lives. Its children are not touched."""
        self._send_signal(signal.SIGKILL)

    def interrupt(self) -> None:
        """SIGINT to the shell alone. One that waits for a program heeds it when that has ended."""
        self._send_signal(signal.SIGINT)

    def hold(self) -> bool:
        """Stop the shell for a moment, until `release`; returns whether it stands still by now.

        It does within microseconds, unless it is in line for a processor. One with a trap on
        SIGCONT is not stopped: it would see that.
        """
        if not self._held and signal_actions(self.pid)[1] & 1 << signal.SIGCONT - 1:
            return True
        self._held = True
        self._send_signal(signal.SIGSTOP)
        for _ in range(_LOOKS):
            info = read_process(self.pid)
            if info is None or info.state in "TtZX":
                return True
        return False

    def release(self) -> None:
        """Undo `hold`. Twice is safe."""
        if self._held:
            self._held = False
            self._send_signal(signal.SIGCONT)

    def _send_signal(self, number: int) -> None:
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def retire(self) -> None:
        """Keep only the terminal: what the shell left running may still write to it."""
        self._loop.remove_reader(self._status.fileno())
        self._loop.remove_reader(self._control.fileno())
        self._sending.stop()
        self.terminal.let_go()

    def stop_reading(self) -> None:
        """Nobody has the terminal open any more."""
        self._at_end = True
        self._loop.remove_reader(self.terminal.fd)

    def pause_reading(self) -> None:
        """Take no output from the terminal, so that programs wait once it is full."""
        self._loop.remove_reader(self.terminal.fd)

    def resume_reading(self) -> None:
        """Undo `pause_reading`. Twice is safe."""
        if not self._at_end:
            self._loop.add_reader(self.terminal.fd, self._events.terminal_readable, self)

    def continue_if_stopped(self) -> bool:
        """Continue a shell that was stopped (`kill -STOP $$`, `suspend`); returns whether."""
        info = read_process(self.pid)
        if info is None or info.state not in "Tt":
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGCONT)
        return True

    def close(self) -> None:
        """Free every descriptor. Twice is safe."""
        if self._pidfd < 0:
            return
        self.reap()
        for fd in (self.terminal.fd, self._status.fileno(), self._control.fileno(), self._pidfd):
            self._loop.remove_reader(fd)
        for writer in (self._sending, self._typing):
            writer.stop()
        self.terminal.let_go()
        self._child.release()
        self._control.close()
        self._status.close()
        self.mailboxes.close()
        os.close(self._pidfd)
        self._pidfd = -1
