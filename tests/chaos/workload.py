"""What a chaos run does in its sandbox, and what must come of it: all of it is known beforehand.

Whatever is done leaves one line of its own in a ledger, a file beside the sandbox, so that doing it
twice shows, and its output is known to the byte.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from typing import Literal

from tether_runtime_client.protocol.actions import Action
from tether_server import CmdRunAction, ExecAction

Kind = Literal["line", "slow", "flood", "late", "exec", "spawn", "upload", "download"]
KINDS: tuple[Kind, ...] = ("line", "slow", "flood", "late", "exec", "spawn", "upload", "download")
LANES = ("one", "two")
"""Sessions whose steps are done side by side; those of one lane are done in order."""


@dataclass(frozen=True)
class Step:
    """One thing to do. `id` is its action's, and its word in the ledger."""

    id: str
    kind: Kind
    session: str
    size: int = 0

    @property
    def action(self) -> Action:
        """What is submitted; a spawn and a transfer have calls of their own."""
        if self.kind == "exec":
            return ExecAction(command=f"{self.entry} {self.script} {{ {self.script} }} >&2")
        return CmdRunAction(command=f"{self.entry} {self.script}", session=self.session)

    @property
    def is_transfer(self) -> bool:
        """Whether it brings a file in or out."""
        return self.kind in ("upload", "download")

    @property
    def entry(self) -> str:
        """Writes the line that must be there once. One small write: it is whole or not there."""
        return f'echo {self.id} >>"$BOX/ledger";'

    @property
    def script(self) -> str:
        """What prints its output."""
        match self.kind:
            case "line":
                return f"echo {self.id};"
            case "slow":
                return f"for i in $(seq {self.size}); do echo {self.id}-$i; sleep 0.02; done;"
            case "late":
                return f"( (sleep 0.1; echo {self.late}) & ); echo {self.id};"
            case _:
                return f"seq -f {self.id}-%.0f 1 {self.size};"

    @property
    def output(self) -> bytes:
        """What that prints."""
        if self.kind in ("line", "late"):
            return f"{self.id}\n".encode()
        return b"".join(b"%s-%d\n" % (self.id.encode(), n) for n in range(1, self.size + 1))

    @property
    def late(self) -> str:
        """What comes after the command has ended."""
        return f"late-{self.id}"

    @property
    def content(self) -> bytes:
        """Of the file that is transferred: the same bytes whenever it is asked for."""
        block = hashlib.sha256(self.id.encode()).digest()
        return random.Random(block).randbytes(self.size)


def make_workload(chance: random.Random, name: str) -> tuple[Step, ...]:
    """Some of everything there is, in any order."""
    count = chance.randint(4, 7)
    kinds: list[Kind] = [*chance.sample(KINDS, count), "line"]
    chance.shuffle(kinds)
    return tuple(_step(chance, f"{name}-{n}", kind) for n, kind in enumerate(kinds))


def filler(name: str, number: int) -> Step:
    """One more line, while faults are still to come."""
    return Step(f"{name}-more{number}", "line", LANES[number % 2])


def _step(chance: random.Random, id: str, kind: Kind) -> Step:
    sizes = {
        "slow": (3, 12),
        "flood": (100, 6_000),
        "exec": (1, 3_000),
        "spawn": (100, 20_000),
        "upload": (1, 1_500_000),
        "download": (1, 1_500_000),
    }
    size = chance.randint(*sizes[kind]) if kind in sizes else 0
    session = "late" if kind == "late" else chance.choice(LANES)
    return Step(id, kind, session, size)
