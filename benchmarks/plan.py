"""What a run of the benchmarks is to do, decided once at the edge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

PEERS = ("ssh", "asyncssh", "paramiko", "docker exec", "SWE-ReX")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure and how thoroughly; `quick` only shows that everything works."""

    backends: tuple[str, ...]
    image: str
    quick: bool
    tell: Callable[[str], None]
    peers: tuple[str, ...] = PEERS

    def count(self, full: int, quick: int) -> int:
        """How often to do something."""
        return quick if self.quick else full
