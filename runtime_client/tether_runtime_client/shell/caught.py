"""A fault of bash: its handler of an interrupt can send that on to itself, for ever.

Without job control bash has another handler of SIGINT while it waits for a program. Where one
comes amid the change of the handlers, the new one does not know the former, to which it would hand
the signal. The shell takes a whole processor then, and nothing but SIGKILL ends it.
"""

from __future__ import annotations

import platform
import re
import signal

_INTERRUPT = 1 << signal.SIGINT - 1
_STATE = re.compile(
    rb"\nState:\s*R.*?\nSigPnd:\s*([0-9a-f]+)\nShdPnd:\s*([0-9a-f]+)\nSigBlk:\s*([0-9a-f]+)"
    rb".*?\nvoluntary_ctxt_switches:\s*(\d+)",
    re.DOTALL,
)
_ENOUGH = 10  # looks at which it is in its handler, beyond those at which not: one in four
_PENDING = 2  # of these at least: the next one waits at two in five
# The kernel's numbers of `rt_sigaction`, with which a program changes a handler.
_CHANGE = {"x86_64": b"13", "aarch64": b"134"}.get(platform.machine(), b"")
_AMID_CHANGE = re.compile(rb"%b 0x%x " % (_CHANGE, signal.SIGINT))


def is_amid_change(pid: int) -> bool:
    """Whether a stopped process is amid changing what it does with SIGINT; False where unknown."""
    found = _AMID_CHANGE.match(_read(pid, "syscall"))
    return found is not None and _CHANGE != b""


class Signs:
    """That a shell is in its handler of SIGINT and has the next one wait, again and again.

    A sound one is in the handler for a microsecond, and blocks the signal while it forks; but then
    it sleeps now and then. Only looks between which it had a processor count: else they show the
    same moment again.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._seen = self._pending = self._ticks = self._waits = 0

    def look(self) -> bool:
        """Look once; whether it seems so, by this look."""
        state = _STATE.search(_read(self._pid, "status"))
        if state is None:
            return self._note(caught=False)
        waits, self._waits = self._waits, int(state[4])
        if waits != self._waits:  # for a program, or for room to fork: it goes on
            self._seen = self._pending = 0
        pending = bool((int(state[1], 16) | int(state[2], 16)) & _INTERRUPT)
        return self._note(caught=pending or bool(int(state[3], 16) & _INTERRUPT), pending=pending)

    def _note(self, *, caught: bool, pending: bool = False) -> bool:
        if not caught:
            self._seen = max(0, self._seen - 1)
            self._pending *= bool(self._seen)
        elif (ticks := self._worked()) > self._ticks:
            self._ticks = ticks
            self._seen += 1
            self._pending += pending
        return caught

    def _worked(self) -> int:
        """For how long it has had a processor, in the kernel's ticks of 10 ms."""
        fields = _read(self._pid, "stat").rpartition(b")")[2].split()
        return int(fields[11]) + int(fields[12]) if fields else 0

    @property
    def enough(self) -> bool:
        """Whether there is no doubt."""
        return self._seen >= _ENOUGH and self._pending >= _PENDING


def _read(pid: int, name: str) -> bytes:
    try:
        with open(f"/proc/{pid}/{name}", "rb", buffering=0) as file:
            return file.read()
    except OSError:  # it has ended, or may not be looked at
        return b""
