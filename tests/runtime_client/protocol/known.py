"""What a sandbox's rules know of its secret. Not collected by pytest."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Known:
    """As `KeptSecret` has it, without a file."""

    current: str
    next: str | None = None

    def begin(self, secret: str) -> None:
        self.next = secret

    def finish(self) -> None:
        if self.next is not None:
            self.current, self.next = self.next, None
