"""A process without a terminal for each command: how long `true` takes, and 50 MB of output.

All of them run the command by `bash -c` and keep what it wrote in memory.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial

from tether_server import EventStreamRuntime

from .output import Output, all_came, flood, local_folder
from .peers import Peer, open_peers
from .plan import Plan
from .report import Aim, Report, Row
from .side import RATIO, side_rows, tether
from .subjects import peer_step, runtimes
from .turns import Step, take_turns

AHEAD = Aim(1, at="least")
LEVEL = Aim(0.95, at="least")
"""Within the twentieth that two runs of the same differ by."""

FLOOR = "a child of this process"


async def measure(plan: Plan) -> Report:
    """For each of the two outputs a row for the floor, every backend and every peer."""
    rows: list[Row] = []
    outputs = (
        Output("true", "true", 0, plan.count(40, 1)),
        flood(plan.count(50_000_000, 500_000), plan.count(7, 2)),
    )
    with local_folder():
        async with runtimes(plan) as started, open_peers(plan) as peers:
            once = [peer for peer in peers if peer.keeps == "nothing"]
            for output in outputs:
                rows += await _compare(output, started, once, plan)
    return Report("exec", "a process a command", tuple(rows), floor=RATIO, bars=False)


async def _compare(
    output: Output, started: Mapping[str, EventStreamRuntime], peers: Sequence[Peer], plan: Plan
) -> list[Row]:
    _run_child(["bash", "-c", output.make])
    steps: dict[str, Step] = {FLOOR: partial(_run_here, output)}
    for backend, runtime in started.items():
        await runtime.exec(output.make)
        steps[tether(backend)] = partial(_run, runtime, output)
    async with AsyncExitStack() as stack:
        for peer in peers:
            await (await stack.enter_async_context(peer_step(peer, output.make)))()
            step = await stack.enter_async_context(peer_step(peer, output.command))
            steps[peer.name] = partial(all_came, step, output)
        block = 1 if output.size else plan.count(5, 2)
        samples = await take_turns(
            steps,
            rounds=output.rounds,
            block=block,
            blocks={peer.name: min(peer.block, block) for peer in peers},
        )
    aims = {peer.name: LEVEL if output.size else AHEAD for peer in peers}
    places = {peer.name: peer.place for peer in peers}
    return side_rows(output.label, samples, places, floor=FLOOR, aims=aims)


async def _run_here(output: Output) -> None:
    output.check(len(_run_child(["bash", "-c", output.command])))


def _run_child(command: Sequence[str]) -> bytes:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


async def _run(runtime: EventStreamRuntime, output: Output) -> None:
    done = await runtime.exec(["bash", "-c", output.command])
    if done.exit_code:
        raise RuntimeError(f"the command ended with {done.exit_code}")
    output.check(len(done.stdout))
