"""A mark that every process of a session carries, and how to see it on one.

The variable can be read of one's own processes only, and a process can start without it. The
limit is one that the kernel keeps and has had no use for since Linux 2.4: children inherit it,
programs do not touch it, and anyone may read it of any process.
"""

from __future__ import annotations

import contextlib
import resource
import secrets
from dataclasses import dataclass

from .. import prctl

VARIABLE = "TETHER_SHELL"
_LIMIT = 10  # RLIMIT_LOCKS
_HIGHEST = 2**62
_LOWEST = 2**32  # below it, values could meet by chance


@dataclass(frozen=True, slots=True)
class Mark:
    """`value` is the variable's, `limit` the resource limit's; 0 where there is no room for one."""

    value: str
    limit: int

    @classmethod
    def new(cls) -> Mark:
        """A mark that nothing else has. Nobody may raise a limit, so it is below our own."""
        prctl.load()
        _, hard = resource.getrlimit(_LIMIT)
        highest = hard if 0 <= hard < _HIGHEST else _HIGHEST
        limit = highest - secrets.randbelow(highest // 2) if highest >= _LOWEST else 0
        return cls(secrets.token_hex(8), limit)

    def put_on(self) -> None:
        """Runs in the child that becomes a shell, before its exec; the variable is set by that.

        The child also becomes the parent of every orphan below it, so that a daemon's descent can
        be told for as long as the shell lives.
        """
        with contextlib.suppress(OSError):
            prctl.set_subreaper()
        if self.limit:
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(_LIMIT, (self.limit, self.limit))

    def is_on(self, pid: int) -> bool:
        """Whether the process carries it; not, where it is gone or hidden."""
        if self.limit and b" %d " % self.limit in _read(f"/proc/{pid}/limits"):
            return True
        variable = f"{VARIABLE}={self.value}".encode()
        return variable in _read(f"/proc/{pid}/environ").split(b"\0")


def _read(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except OSError:
        return b""
