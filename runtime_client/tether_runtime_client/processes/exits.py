"""Learning the end of one child from the kernel, and collecting that child and no other.

A pidfd becomes readable at the end. `waitpid(-1)` is never used: other parts of the client have
children too. Where there are no pidfds (kernels before 5.3, some sandboxes), a thread waits.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress

log = logging.getLogger(__name__)

#: Called on the loop with the exit code or the signal; the other is None. Both are None when
#: something else has collected the child.
OnExit = Callable[[int | None, int | None], None]


def watch_exit(pid: int, on_exit: OnExit) -> Callable[[], None]:
    """Collect the child `pid` at its end and call `on_exit` once, on the running loop.

    Returns a call that gives the watch up; twice is safe.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return _watch_in_thread(pid, on_exit)
    return _watch_descriptor(descriptor, pid, on_exit)


def _watch_descriptor(descriptor: int, pid: int, on_exit: OnExit) -> Callable[[], None]:
    loop = asyncio.get_running_loop()
    watching = True

    def forget() -> None:
        nonlocal watching
        if watching:
            watching = False
            loop.remove_reader(descriptor)
            os.close(descriptor)

    def ended() -> None:
        forget()
        on_exit(*_collect(pid))

    loop.add_reader(descriptor, ended)
    return forget


def _watch_in_thread(pid: int, on_exit: OnExit) -> Callable[[], None]:
    loop = asyncio.get_running_loop()
    watching = True

    def forget() -> None:
        nonlocal watching
        watching = False

    def ended() -> None:
        if watching:
            on_exit(*_collect(pid))

    def wait() -> None:
        with suppress(ChildProcessError):
            # Left as it is (WNOWAIT) until the loop collects it: its pid stays good for signals.
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        if not loop.is_closed():
            loop.call_soon_threadsafe(ended)

    threading.Thread(target=wait, name=f"wait-{pid}", daemon=True).start()
    return forget


def _collect(pid: int) -> tuple[int | None, int | None]:
    try:
        result = os.waitid(os.P_PID, pid, os.WEXITED)
    except ChildProcessError:
        log.error("process %d was collected by something else: its exit code is lost", pid)
        return None, None
    assert result is not None
    if result.si_code == os.CLD_EXITED:
        return result.si_status, None
    return None, result.si_status
