"""The rate of a command's output, from `run` to its observation, against a bare terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tether_server import CmdRunAction, EventStreamRuntime

from .floor import PtyBash
from .least import Least
from .output import Output, all_came, flood, local_folder
from .peers import Peer, open_peers
from .plan import Plan
from .report import Aim, Report, Row, median, rate_row
from .subjects import peer_step, runtimes
from .turns import Step, take_turns

AIM = Aim(0.8, at="least")
AHEAD = Aim(1, of="value", at="least")
FLOOR = "bare terminal"
KEPT = "what is kept and sent of it"
TERMINAL = "ssh -tt, kept shell"


async def measure(plan: Plan) -> Report:
    """Rows for lines and for two floods, each with its own floor."""
    rows: list[Row] = []
    with PtyBash() as bash, local_folder():
        async with runtimes(plan) as started, open_peers(plan) as peers:
            for output in (_lines(plan), *_floods(plan)):
                rows += await _compare(output, bash, started, peers)
    return Report(
        "throughput",
        "output of a command",
        tuple(rows),
        floor=f"the same from a {FLOOR}, read in a tight loop",
        bars=False,
    )


def _lines(plan: Plan) -> Output:
    """Many short writes' worth of text, from a program that computes it."""
    last = plan.count(200_000, 2_000)
    size = sum(len(f"{number}\n") for number in range(1, last + 1))
    return Output(f"seq 1 {last}", f"seq 1 {last}", size, plan.count(20, 2))


def _floods(plan: Plan) -> list[Output]:
    """Text from a file in memory: the cheapest producer, so that the reader is what is measured."""
    sizes = {plan.count(1_000_000, 100_000): 20, plan.count(50_000_000, 500_000): 7}
    return [flood(size, plan.count(rounds, 2)) for size, rounds in sizes.items()]


async def _compare(
    output: Output,
    bash: PtyBash,
    started: Mapping[str, EventStreamRuntime],
    peers: Sequence[Peer],
) -> list[Row]:
    bash.run(output.make)
    steps: dict[str, Step] = {FLOOR: partial(_read, bash, output), KEPT: partial(_keep, output)}
    for backend, runtime in started.items():
        await runtime.run(CmdRunAction(command=output.make))
        steps[f"Tether, {backend}"] = partial(_run, runtime, output)
    async with AsyncExitStack() as stack:
        for peer in [peer for peer in peers if peer.most_output >= output.size]:
            await (await stack.enter_async_context(peer_step(peer, output.make)))()
            step = await stack.enter_async_context(peer_step(peer, output.command))
            steps[peer.name] = partial(all_came, step, output)
        return _rows(await take_turns(steps, rounds=output.rounds), output)


async def _read(bash: PtyBash, output: Output) -> None:
    bash.read(output.command, output.size)


async def _keep(output: Output) -> None:
    with TemporaryDirectory() as folder, Least(Path(folder)) as least:
        least.keep_output(output.size)


async def _run(runtime: EventStreamRuntime, output: Output) -> None:
    observation = await runtime.run(CmdRunAction(command=output.command))
    output.check(observation.total_bytes)


def _rows(samples: Mapping[str, list[float]], output: Output) -> list[Row]:
    amount = output.size / 1e6
    floor = samples[FLOOR]
    rows = [rate_row(f"{output.label}: {FLOOR}", floor, amount)]
    for name, times in samples.items():
        if name != FLOOR:
            aim = AIM if name.startswith("Tether") else None
            rows.append(rate_row(f"{output.label}: {name}", times, amount, floor=floor, aim=aim))
    return [*rows, *_beside_terminal(samples, output)]


def _beside_terminal(samples: Mapping[str, list[float]], output: Output) -> list[Row]:
    """How many times the rate of `ssh -tt` a session has."""
    if TERMINAL not in samples:
        return []
    theirs = median(samples[TERMINAL])
    return [
        Row(f"{output.label}: {name}, times {TERMINAL}", theirs / median(times), "x", aim=AHEAD)
        for name, times in samples.items()
        if name.startswith("Tether")
    ]
