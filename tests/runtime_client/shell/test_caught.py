"""An interrupt that meets bash amid a change of its handlers is found, and avoided."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import time
from contextlib import suppress

import pytest

from tether_runtime_client.shell.caught import Signs, is_amid_change
from tether_runtime_client.shell.processes import children

from .conftest import Driver

_SEIZE, _INTERRUPT, _SYSCALL, _DETACH = 0x4206, 0x4207, 24, 17  # of ptrace
_TELL_SYSCALLS, _ALL = 1, 0x40000000
_MOST_STOPS = 500
_LOOP = "set +m; while :; do /bin/true; done"


def interrupt_amid_change(pid: int, number: int) -> None:
    """SIGINT at the stop with this number of those at which a program changes that handler.

    Each change is two stops. Raises PermissionError where nothing may be traced.
    """
    libc = ctypes.CDLL(None, use_errno=True)

    def ptrace(request: int, data: int = 0) -> None:
        if libc.ptrace(request, pid, None, ctypes.c_void_p(data)) < 0:
            raise OSError(ctypes.get_errno(), "ptrace")

    ptrace(_SEIZE, _TELL_SYSCALLS)
    ptrace(_INTERRUPT)
    for _ in range(_MOST_STOPS):
        _, status = os.waitpid(pid, _ALL)
        number -= is_amid_change(pid)
        if not number:
            os.kill(pid, signal.SIGINT)
            ptrace(_DETACH)
            return
        ptrace(_SYSCALL, os.WSTOPSIG(status) if status >> 16 == 0 and is_real(status) else 0)
    raise AssertionError("the handler was not changed so often")


def is_real(status: int) -> bool:
    """Whether it stopped for a signal, which it is to get, and not for a call of the kernel's."""
    return os.WSTOPSIG(status) not in (signal.SIGTRAP, signal.SIGTRAP | 0x80)


async def test_a_shell_that_is_caught_is_replaced(shell: Driver) -> None:
    await shell.say("cd /usr; export KEPT=1")
    for number in range(1, 20, 2):
        started = shell.start(_LOOP)
        await asyncio.sleep(0.05)
        try:
            await asyncio.to_thread(interrupt_amid_change, shell.session.pid, number)
        except PermissionError:
            pytest.skip("nothing may be traced here")
        interrupted = time.monotonic()
        result = await started.result()
        if (lost := result.end.state_lost) is not None:
            break
    assert lost is not None
    assert "caught in its handler" in lost.reason
    assert time.monotonic() - interrupted < 5
    assert await shell.say("echo $PWD $KEPT") == "/usr 1\n"


@pytest.mark.parametrize(
    "command",
    [
        "while :; do :; done",
        "while :; do (:); done",
        "trap : INT; while :; do kill -INT $$; done",
        "set +m; trap : INT; while :; do kill -INT $$; /bin/true; done",
        "python3 -c 'import signal; signal.pthread_sigmask(0, [2]); signal.raise_signal(2)\n"
        "while 1: pass'",
    ],
)
async def test_a_busy_shell_is_not_caught(shell: Driver, command: str) -> None:
    started = shell.start(command)
    await asyncio.sleep(0.1)
    pid = shell.session.pid
    signs = Signs(pid)
    for _ in range(200):
        signs.look()
        assert not signs.enough
        await asyncio.sleep(0.002)
    shell.session.interrupt("SIGKILL")
    for child in children(pid):
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    await shell.session.reset()
    await started.result()


def test_a_process_that_is_gone() -> None:
    assert not Signs(2**22).look()
    assert not is_amid_change(2**22)
