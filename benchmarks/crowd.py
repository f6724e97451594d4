"""Commands a second of many sessions at once, each running one `true` after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from tether_server import CmdRunAction, EventStreamRuntime

from .floor import PipeBash, run_crowd
from .peers import Peer, open_peers
from .peers.base import Call, Run
from .plan import Plan
from .report import Aim, Report, Row, rate_row
from .subjects import runtimes
from .turns import Step, take_turns

SESSIONS = 50
EACH = 200
AIM = Aim(5000, of="value", at="least")
FLOOR = "bash on pipes, one process reads all"
_TRUE = "true"


@dataclass(frozen=True, slots=True)
class Crowd:
    """Sessions of one kind: `step` runs `commands` in all of them together."""

    step: Step
    commands: int


async def measure(plan: Plan) -> Report:
    """A row for the floor, every backend and every peer's every mode."""
    sessions = plan.count(SESSIONS, 5)
    async with runtimes(plan) as started, open_peers(plan) as peers, AsyncExitStack() as stack:
        crowds = {FLOOR: _floor(stack, sessions, plan.count(EACH, 2))}
        for backend, runtime in started.items():
            crowds[f"Tether, {backend}"] = await _tether(runtime, sessions, plan.count(EACH, 2))
        for peer in [peer for peer in peers if peer.each]:
            plan.tell(f"opening {sessions} of {peer.name}")
            crowds[peer.name] = await _peer(stack, peer, sessions, plan.count(peer.each, 1))
        steps = {name: crowd.step for name, crowd in crowds.items()}
        samples = await take_turns(steps, rounds=plan.count(5, 1))
    title = f"`true` after `true` in {sessions} sessions at once"
    rows = [_row(name, times, crowds[name].commands) for name, times in samples.items()]
    return Report("crowd", title, tuple(rows))


def _floor(stack: AsyncExitStack, sessions: int, each: int) -> Crowd:
    shells = [stack.enter_context(PipeBash()) for _ in range(sessions)]

    async def run() -> None:
        run_crowd(shells, _TRUE, each)

    return Crowd(run, sessions * each)


async def _tether(runtime: EventStreamRuntime, sessions: int, each: int) -> Crowd:
    async def run_one(session: str, count: int) -> None:
        action = CmdRunAction(command=_TRUE, session=session)
        for _ in range(count):
            await runtime.run(action)

    async def run() -> None:
        await asyncio.gather(*(run_one(name, each) for name in names))

    names = [f"crowd-{number}" for number in range(sessions)]
    await asyncio.gather(*(run_one(name, 1) for name in names))
    return Crowd(run, sessions * each)


async def _peer(stack: AsyncExitStack, peer: Peer, sessions: int, each: int) -> Crowd:
    if peer.open is not None:
        runs = [await stack.enter_async_context(peer.open()) for _ in range(sessions)]
        step = partial(_run_all, runs, each)
    else:
        assert peer.opens_call is not None
        calls = [await stack.enter_async_context(peer.opens_call()) for _ in range(sessions)]
        threads = stack.enter_context(ThreadPoolExecutor(sessions))
        step = partial(_call_all, threads, calls, each)
    return Crowd(step, sessions * each)


async def _run_all(runs: Sequence[Run], each: int) -> None:
    async def run_one(run: Run) -> None:
        for _ in range(each):
            await run(_TRUE)

    await asyncio.gather(*map(run_one, runs))


async def _call_all(threads: ThreadPoolExecutor, calls: Sequence[Call], each: int) -> None:
    def call_one(call: Call) -> None:
        for _ in range(each):
            call(_TRUE)

    loop = asyncio.get_running_loop()
    await asyncio.gather(*(loop.run_in_executor(threads, call_one, call) for call in calls))


def _row(name: str, seconds: list[float], commands: int) -> Row:
    aim = AIM if name.startswith("Tether") else None
    return rate_row(name, seconds, commands, unit="/s", aim=aim)
