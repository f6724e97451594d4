"""Commands that write much, and that all of it came."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

from .turns import Step

FOLDER = f"/tmp/tether-bench-{os.getpid()}"
"""In each sandbox; with the local backend, the floor and SSH that is this machine."""

LINE = "the quick brown fox jumps over the lazy dog 0123456789"


@dataclass(frozen=True, slots=True)
class Output:
    """A command and the number of bytes it writes."""

    label: str
    command: str
    size: int
    rounds: int

    @property
    def make(self) -> str:
        """The command that makes what it needs, wherever it is to run."""
        return f"mkdir -p {FOLDER}; yes {LINE!r} | head -c {self.size} >{FOLDER}/{self.size}"

    def check(self, size: int) -> None:
        """Raise unless that many bytes are all."""
        if size != self.size:
            raise RuntimeError(f"{size} bytes came instead of {self.size}")


def flood(size: int, rounds: int) -> Output:
    """Text from a file in memory: the cheapest producer, so that the reader is what is measured."""
    return Output(f"cat, {size / 1e6:g} MB", f"cat {FOLDER}/{size}", size, rounds)


@contextmanager
def local_folder() -> Iterator[None]:
    """What commands made on this machine goes with it."""
    try:
        yield
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)


async def all_came(step: Step, output: Output) -> None:
    """Run a peer's step. Some add bytes of the terminal's or their own; none may be missing."""
    output.check(min(cast(int, await step()), output.size))
