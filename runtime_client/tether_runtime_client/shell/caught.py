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
    rb"\nState:\s*R.*?\nSigPnd:\s*([0-9a-f]+)\nShdPnd:\s*([0-9a-f]+)\nSigBlk:\s*([0-9a-f]+)",
    re.DOTALL,
)
_ENOUGH, _SET_BACK = 12, 4  # looks: a caught one is in its handler at more than nine in ten
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

    A sound one is in the handler for a microsecond, and blocks the signal while it forks. Only
    looks between which it had a processor count: else they show the same moment again.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._seen = self._pending = self._ticks = 0

    def look(self) -> bool:
        """Look once; whether it seems so, by this look."""
        state = _STATE.search(_read(self._pid, "status"))
        if state is None:
            return self._note(False, False)
        waits = bool((int(state[1], 16) | int(state[2], 16)) & _INTERRUPT)
        return self._note(waits or bool(int(state[3], 16) & _INTERRUPT), waits)

    def _note(self, caught: bool, waits: bool) -> bool:
        if not caught:
            self._seen -= _SET_BACK
            if self._seen <= 0:
                self._seen = self._pending = 0
        elif (ticks := self._worked()) > self._ticks:
            self._ticks = ticks
            self._seen += 1
            self._pending += waits
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
