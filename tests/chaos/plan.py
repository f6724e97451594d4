"""What is to happen in one chaos run, all of it made from a seed."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass

from .faults import KINDS, Fault
from .workload import Step, make_workload

MOST_FAULTS = 3
FARTHEST = 60_000
"""The most bytes between one fault and the next. Most are close by: all that is small is there."""


@dataclass(frozen=True)
class Plan:
    """A workload, and the faults that strike while it runs, one after another."""

    seed: int
    place: str
    steps: tuple[Step, ...]
    faults: tuple[Fault, ...]

    @classmethod
    def make(cls, seed: int, place: str) -> Plan:
        """The same for the same seed, on every machine (but for what needs root)."""
        chance = random.Random(f"{seed} {place}")
        steps = make_workload(chance, f"chaos-{seed}")
        count = chance.randint(1, MOST_FAULTS)
        return cls(seed, place, steps, tuple(_fault(chance, place) for _ in range(count)))

    @property
    def ends_clients(self) -> bool:
        """Whether what runs may be lost."""
        return any(fault.ends_client for fault in self.faults)

    def has(self, kind: type[Fault]) -> bool:
        """Whether there is such a fault."""
        return any(isinstance(fault, kind) for fault in self.faults)

    def __str__(self) -> str:
        faults = ", ".join(map(str, self.faults))
        steps = ", ".join(f"{step.kind}({step.size})@{step.session}" for step in self.steps)
        return f"seed {self.seed} on {self.place}\n  faults: {faults}\n  steps: {steps}"


def _fault(chance: random.Random, place: str) -> Fault:
    kinds = [kind for kind in KINDS if place in kind.places]
    kind = chance.choices(kinds, [kind.weight for kind in kinds])[0]
    after = int(FARTHEST * chance.random() ** 3)
    amount = chance.random()
    if kind.needs_root and os.geteuid() != 0:
        kind = KINDS[0]
    return kind(max(1, after), amount)
