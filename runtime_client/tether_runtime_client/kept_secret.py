"""The secret as the supervisor keeps it for every life of the client: a file in memory.

    CURRENT BORN [NEXT BORN]          padded, so that it is changed by one write
    what else was handed over with the secret

A client that changes the secret writes here before it tells the server, so that one killed at any
moment is followed by one that knows as much. The file has no name, its descriptor goes to the
client alone, and neither process lets others look at its descriptors. `BORN` is of the clock that
counts from the machine's start, and while it sleeps too.
"""

from __future__ import annotations

import os
import time

#: What a secret and its time take, at the most, for secrets that were agreed on.
_ENTRY = 64 + 1 + 20 + 1


def keep_secret(line: bytes) -> int:
    """The descriptor of a new file with what came in: a secret and, behind a space, the rest."""
    secret, _, rest = line.strip().partition(b" ")
    head = b"%b %.3f" % (secret, _now())
    width = max(len(head), _ENTRY) + _ENTRY
    descriptor = os.memfd_create("tether")
    os.pwrite(descriptor, head.ljust(width) + b"\n" + rest, 0)
    return descriptor


class KeptSecret:
    """One client's view of it. Only one client lives at a time, so nobody else writes."""

    def __init__(self, descriptor: int, lifetime_s: float | None = None) -> None:
        self._descriptor = descriptor
        self._lifetime_s = lifetime_s
        head, _, rest = os.pread(descriptor, os.fstat(descriptor).st_size, 0).partition(b"\n")
        self._width = len(head)
        self.rest = rest.decode()
        current, born, *following = head.decode().rstrip(" ").split(" ")
        self.current, self._born = current, float(born)
        self.next: str | None = following[0] if following else None
        self._next_born = float(following[1]) if following else 0.0

    @property
    def accepted(self) -> tuple[str, ...]:
        """One or two, the present one first."""
        return (self.current,) if self.next is None else (self.current, self.next)

    @property
    def expired(self) -> bool:
        """Whether the present one's time is over."""
        return self._lifetime_s is not None and _now() - self._born > self._lifetime_s

    def begin(self, secret: str) -> None:
        """Accept another one too, in the place of any that was begun before."""
        self.next, self._next_born = secret, _now()
        self._write()

    def finish(self) -> None:
        """The next one was proven: it alone is accepted from now on. Twice is safe."""
        if self.next is not None:
            self.current, self._born, self.next = self.next, self._next_born, None
            self._write()

    def _write(self) -> None:
        text = f"{self.current} {self._born:.3f}"
        if self.next is not None:
            text += f" {self.next} {self._next_born:.3f}"
        os.pwrite(self._descriptor, text.encode().ljust(self._width), 0)


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
