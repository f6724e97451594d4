"""Where the time of one `true` goes, stage by stage, in both processes and in bash.

The server is this process and the client is the one of the `local` backend; both note the times
of a few points (see `stages_hook`). A point costs about a microsecond, so the sum is a little
more than what `latency` shows.
"""

from __future__ import annotations

import tempfile
import time
from bisect import bisect_left
from itertools import pairwise
from pathlib import Path

from tether_server import CmdRunAction, EventStreamRuntime

from .hook import client_loads
from .plan import Plan
from .report import Report, Row, median, percentile
from .stages_hook import sitecustomize as hook

HOOK = Path(hook.__file__).parent
_TRUE = CmdRunAction(command="true")

STAGES = (
    ("server: check, make safe, frame", "sends"),
    ("to the client: send, wake-up", "client received"),
    ("client: parse, journal, tell bash", "client told bash"),
    ("bash: read, run, report, wake-up", "client bash reported"),
    ("client: observation, journal", "client sends"),
    ("to the server: send, wake-up", "received"),
    ("server: parse, store, answer", "answered"),
)
"""Each stage ends at a point; the first begins where `run` is called."""

Note = tuple[int, str]


async def measure(plan: Plan) -> Report:
    """A row for each stage."""
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/notes"
        calls = await _run_noted(file, plan.count(2000, 20))
        theirs = _read(Path(f"{file}.client"))
    notes = sorted([*hook.notes, *theirs])
    samples = [found for began, ended in calls if (found := _stages(notes, began, ended))]
    whole = median([sum(sample) for sample in samples])
    rows = [_row(name, [s[i] for s in samples], whole) for i, (name, _) in enumerate(STAGES)]
    title = "one `true` on local, stage by stage"
    return Report("stages", title, tuple(rows), floor="the whole, stage by stage")


async def _run_noted(file: str, count: int) -> list[tuple[int, int]]:
    with client_loads(HOOK, TETHER_BENCH_STAGES=file):
        hook.note_points()
        async with EventStreamRuntime(None, backend="local") as runtime:
            await runtime.run(_TRUE)
            return [await _timed(runtime) for _ in range(count)]


async def _timed(runtime: EventStreamRuntime) -> tuple[int, int]:
    began = time.monotonic_ns()
    await runtime.run(_TRUE)
    return began, time.monotonic_ns()


def _read(file: Path) -> list[Note]:
    lines = (line.split(" ", 1) for line in file.read_text().splitlines())
    return [(int(at), f"client {label}") for at, label in lines]


def _stages(notes: list[Note], began: int, ended: int) -> list[float] | None:
    """Seconds of each stage of one call; None where the points came in another order."""
    inside = notes[bisect_left(notes, (began, "")) : bisect_left(notes, (ended, ""))]
    inside.append((ended, "answered"))
    times, at = [began], 0
    for _, point in STAGES:
        later = [i for i in range(at, len(inside)) if inside[i][1] == point]
        if not later:
            return None
        at = later[0]
        times.append(inside[at][0])
        at += 1
    return [(b - a) / 1e9 for a, b in pairwise(times)]


def _row(name: str, seconds: list[float], whole: float) -> Row:
    middle = median(seconds)
    return Row(
        name=name,
        value=middle * 1e6,
        unit="µs",
        p95=percentile(seconds, 95) * 1e6,
        count=len(seconds),
        ratio=middle / whole,
    )
