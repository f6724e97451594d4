"""The rate of a command's output, from `run` to its observation, against a bare terminal."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tether_server import CmdRunAction, EventStreamRuntime

from .floor import PtyBash
from .plan import Plan
from .report import Aim, Report, Row, rate_row
from .subjects import runtimes
from .turns import Step, take_turns

AIM = Aim(0.8, at="least")
FOLDER = f"/tmp/tether-bench-{os.getpid()}"
"""In each sandbox; with the local backend that is this machine."""

FLOOR = "bare terminal"


@dataclass(frozen=True, slots=True)
class Output:
    """A command and the number of bytes it writes."""

    label: str
    command: str
    size: int
    rounds: int


async def measure(plan: Plan) -> Report:
    """Rows for a flood and for lines, each with its own floor."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, PtyBash() as bash:
        async with runtimes(plan) as started:
            for output in (_lines(plan), _flood(plan)):
                rows += await _compare(output, bash, Path(folder), started)
    return Report(
        "throughput",
        "output of a command",
        tuple(rows),
        floor=f"the same from a {FLOOR}, read in a tight loop",
    )


def _lines(plan: Plan) -> Output:
    """Many short writes' worth of text, from a program that computes it."""
    last = plan.count(200_000, 2_000)
    size = sum(len(f"{number}\n") for number in range(1, last + 1))
    return Output(f"seq 1 {last}", f"seq 1 {last}", size, plan.count(20, 2))


def _flood(plan: Plan) -> Output:
    """Text from a file in memory: the cheapest producer, so that the reader is what is measured."""
    size = plan.count(50_000_000, 500_000)
    return Output(f"cat, {size / 1e6:g} MB", "cat flood", size, plan.count(7, 2))


async def _compare(
    output: Output, bash: PtyBash, folder: Path, started: Mapping[str, EventStreamRuntime]
) -> list[Row]:
    floor = f"{output.label}: {FLOOR}"
    steps = {floor: _floor_step(output, bash, folder)}
    for backend, runtime in started.items():
        await runtime.run(CmdRunAction(command=_make_flood(FOLDER, output.size)))
        steps[f"{output.label}: Tether, {backend}"] = partial(_run, runtime, output)
    samples = await take_turns(steps, rounds=output.rounds)
    for runtime in started.values():
        await runtime.run(CmdRunAction(command=f"cd /; rm -r {FOLDER}"))
    return _rows(samples, floor, output.size)


def _floor_step(output: Output, bash: PtyBash, folder: Path) -> Step:
    bash.run(_make_flood(str(folder), output.size))

    async def read() -> None:
        bash.read(output.command, output.size)

    return read


def _make_flood(folder: str, size: int) -> str:
    line = "the quick brown fox jumps over the lazy dog 0123456789"
    return f"mkdir -p {folder}; cd {folder}; yes {line!r} | head -c {size} >flood"


async def _run(runtime: EventStreamRuntime, output: Output) -> None:
    observation = await runtime.run(CmdRunAction(command=output.command))
    if observation.total_bytes != output.size:
        raise RuntimeError(f"{observation.total_bytes} bytes came instead of {output.size}")


def _rows(samples: Mapping[str, list[float]], floor: str, size: int) -> list[Row]:
    return [
        rate_row(name, times, size)
        if name == floor
        else rate_row(name, times, size, floor=samples[floor], aim=AIM)
        for name, times in samples.items()
    ]
