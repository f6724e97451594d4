"""Starts bash on a new pseudo-terminal: pexpect forks, and the child sets itself up."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import signal
import socket
import termios
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pexpect
import ptyprocess

from ..oom_score import raise_oom_score
from .descriptors import Descriptors
from .errors import TooFewFiles
from .mark import Mark

if TYPE_CHECKING:
    _Spawn = pexpect.spawn[bytes]
else:
    _Spawn = pexpect.spawn

_HIGH, _LOW = 1000, 200
_OURS = 64  # from there on


class BashSpawn(_Spawn):
    """pexpect's spawn, with descriptors handed over to the child.

    Its `close`, `terminate` and `wait` sleep and block: never call them on the loop. The session
    kills and reaps the child itself and then calls `release`.
    """

    ptyproc: Any

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        size: tuple[int, int],
        pass_fds: Sequence[int],
        in_child: Callable[[], None],
    ) -> None:
        self._pass_fds = tuple(pass_fds)
        super().__init__(
            argv[0],
            list(argv[1:]),
            env=dict(env),
            dimensions=size,
            preexec_fn=in_child,
            timeout=None,
        )

    def _spawnpty(self, args: list[Any], **kwargs: Any) -> Any:
        with warnings.catch_warnings():
            # Python 3.12 warns of any fork beside threads; this child only sets itself up
            # and executes.
            warnings.simplefilter("ignore", DeprecationWarning)
            return _spawn(args, pass_fds=self._pass_fds, **kwargs)

    def release(self) -> None:
        """Close the terminal without waiting for anything. Twice is safe."""
        if self.ptyproc.closed:
            return
        _close(self.ptyproc)
        self.closed = True
        self.child_fd = -1


def _spawn(args: list[Any], **kwargs: Any) -> Any:
    """A started process. The child of one that cannot be executed is collected here and now:
    ptyprocess leaves that to the garbage collector, and in it sleeps.
    """
    made: list[Any] = []

    class Noted(ptyprocess.PtyProcess):  # type: ignore[misc]  # it has no types
        def __init__(self, pid: int, fd: int) -> None:
            super().__init__(pid, fd)
            made.append(self)

    try:
        return Noted.spawn(args, **kwargs)
    except BaseException:
        for process in made:
            _close(process)
            os.waitpid(process.pid, 0)  # it has said why, and has ended with that
        raise


def _close(process: Any) -> None:
    process.fileobj.close()
    process.terminated = process.closed = True
    process.fd = -1


def choose_base() -> int:
    """Above what programs use, below this process's limit (which the shell inherits)."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft in (-1, resource.RLIM_INFINITY):
        return _HIGH
    base = min(_HIGH, soft - _OURS)
    if base < _LOW:
        raise TooFewFiles(soft, _LOW + _OURS)
    return base


def become_shell(fds: Descriptors, handed: Sequence[int], cwd: str, mark: Mark) -> None:
    """Runs in the child, between fork and exec, with the terminal on 0, 1 and 2.

    `handed` are the control and status channels and the two mailboxes.
    """
    _plain_mode(0)
    _hand_back(handed[1], 0)
    null = os.open(os.devnull, os.O_RDWR)
    sources = [*handed, 1, 1, null, null]
    targets = [0, fds.status, *fds.mailboxes, fds.terminal, fds.stderr, fds.null, 2]
    # A source may sit where a target goes: all are moved out of the way before.
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, fds.end) for fd in sources]
    for fd, target in zip(moved, targets, strict=True):
        os.dup2(fd, target)
    for fd in {null, *handed} - set(targets):
        os.close(fd)
    _reset_signals()
    raise_oom_score()
    mark.put_on()
    _enter(cwd)


def _hand_back(channel: int, terminal: int) -> None:
    """Give the client the open file itself, which it cannot open a second time."""
    with socket.socket(fileno=os.dup(channel)) as sock:
        socket.send_fds(sock, [b"\0"], [terminal])


def take_terminal(channel: socket.socket) -> int:
    """What the child handed back, before it executed anything."""
    _, (terminal,), *_ = socket.recv_fds(channel, 1, 1, socket.MSG_CMSG_CLOEXEC)
    return terminal


def _plain_mode(fd: int) -> None:
    """Switch output post-processing off: what programs write is what arrives."""
    mode = termios.tcgetattr(fd)
    mode[1] &= ~termios.OPOST
    termios.tcsetattr(fd, termios.TCSANOW, mode)


def _reset_signals() -> None:
    """Programs expect the defaults; Python ignores SIGPIPE, and a shell cannot undo that."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _enter(cwd: str) -> None:
    """Go to the directory, or to the nearest one above it that is still there."""
    while True:
        try:
            return os.chdir(cwd)
        except OSError:
            if cwd in ("", "/"):
                return None
            cwd = os.path.dirname(cwd.rstrip("/"))
