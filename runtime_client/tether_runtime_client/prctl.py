"""Four calls of prctl(2) that Python has no names for.

ctypes is the only way to them without a compiled module of our own (an effective-gid flip also
makes a process non-dumpable, but needs privilege and says nothing of sub-reapers). It is imported
on the first call only: 4 ms and 0.6 MB.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctypes import CDLL

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36

_libc: CDLL | None = None


def load() -> None:
    """Import what the calls need, so that a child does not import between fork and exec."""
    global _libc
    if _libc is None:
        import ctypes

        _libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int | bytes) -> None:
    load()
    import ctypes

    assert _libc is not None

    argument = ctypes.c_char_p(value) if isinstance(value, bytes) else ctypes.c_ulong(value)
    zero = ctypes.c_ulong(0)
    if _libc.prctl(ctypes.c_int(option), argument, zero, zero, zero) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")


def set_not_dumpable() -> None:
    """Keep other processes of this user out of our memory, environment and descriptors.

    Holds across fork, not across exec. Raises OSError.
    """
    _prctl(_PR_SET_DUMPABLE, 0)


def set_subreaper() -> None:
    """Become the parent of every orphan below this process, as PID 1 is by nature.

    Does not pass to children. Raises OSError.
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def set_parent_death_signal(signal_number: int) -> None:
    """Have the kernel send `signal_number` to this process when its parent ends.

    The parent may be gone before the call: compare os.getppid() afterwards. Raises OSError.
    """
    _prctl(_PR_SET_PDEATHSIG, signal_number)


def set_name(name: str) -> None:
    """Set what ps and top show as the command name (15 bytes are kept). Raises OSError."""
    _prctl(_PR_SET_NAME, name.encode())
