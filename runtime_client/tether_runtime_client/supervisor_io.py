"""What the supervisor's processes share: signals, log lines, notices, exit codes."""

from __future__ import annotations

import os
import select
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

#: Each of these is in use as the stop signal of some image.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGRTMIN + 3)
#: What the client is stopped by: a signal that no `pkill` or `kill -1` in a session sends it.
STOP_CLIENT = signal.SIGRTMIN + 5
PASSED_ON = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH)
#: All that are blocked and waited for.
SIGNALS = frozenset((signal.SIGCHLD, *STOP_SIGNALS, *PASSED_ON))

#: A write of at most this many bytes to a pipe that polls as writable never blocks (PIPE_BUF).
_ATOMIC_BYTES = 4096


def log(message: str) -> None:
    """Write one line to standard error, unless that is closed or its reader has stalled.

    The supervisor must go on whatever becomes of its log: a blocked write would stop reaping.
    """
    line = f"tether supervisor: {message}\n".encode(errors="replace")
    write_if_ready(2, line)


def write_if_ready(descriptor: int, line: bytes) -> bool:
    """Write one line of at most 4 KiB without ever blocking; False when it could not be."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    if not any(mask & select.POLLOUT for _, mask in poll.poll(0)):
        return False
    try:
        return os.write(descriptor, line[:_ATOMIC_BYTES]) > 0
    except OSError:  # closed, or its reader is gone
        return False


def where_possible(call: Callable[[], None]) -> None:
    """Make a call that protects or tidies but is not needed to run; a refusal is logged."""
    try:
        call()
    except (OSError, ImportError) as error:
        log(f"this kernel or Python cannot do all that protects and collects: {error}")


def describe_status(status: int) -> str:
    """A wait status in words: `exit code 3` or `signal 9 (SIGKILL)`."""
    code = os.waitstatus_to_exitcode(status)
    return f"exit code {code}" if code >= 0 else f"signal {-code} ({signal_name(-code)})"


def signal_name(number: int) -> str:
    """`SIGTERM` for 15; real-time signals have no name of their own in Python."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"


def as_exit_code(status: int) -> int:
    """A wait status as shells number it: the exit code, or 128 + the signal."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def reset_signals() -> None:
    """Give a forked child the signal handling that Python starts with."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def reset_signals_for_exec() -> None:
    """Give a program the handling it expects: Python ignores two, which an exec passes on."""
    reset_signals()
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)


def leave(code: int) -> NoReturn:
    """End a forked child: flush what Python buffers, run nothing of the parent's clean-up."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError) as error:
            log(f"output was lost when a child ended: {error}")
    os._exit(code & 0xFF)


def run_child(name: str, action: Callable[[], int]) -> NoReturn:
    """Run `action` as all that a forked child does; its exit code is the child's."""
    code = 1
    try:
        code = action()
    except SystemExit as end:
        code = _code_of(end)
    except BaseException:  # the child ends here in any case; its reason must be seen
        sys.excepthook(*sys.exc_info())
        log(f"the {name} ended with the error above")
    leave(code)


def _code_of(end: SystemExit) -> int:
    if end.code is None or isinstance(end.code, int):
        return end.code or 0
    log(str(end.code))
    return 1
