"""Commands a second of many sessions at once, each running one `true` after the other.

Tether's ratio is to the least that its sessions can take; a peer's is how many times as fast Tether
is in the same place, so 1 and more is ahead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tether_runtime_client.protocol.frames import SubmitFrame, encode
from tether_server import CmdRunAction, EventStreamRuntime

from .floor import BareWebsocket, Begins, PipeBash, run_crowd, websocket_peer
from .least import Least, SessionBash
from .peers import Peer, open_peers
from .peers.base import Call, Run
from .plan import Plan
from .report import Aim, Report, Row, rate_row
from .side import tether
from .subjects import runtimes
from .turns import Step, take_turns

SESSIONS = 50
EACH = 200
AIM = Aim(5000, of="value", at="least")
AHEAD = Aim(1, at="least")
"""Of whatever starts a process a command or reads prompts."""

FLOOR = "bash on pipes, one process reads all"
SESSIONS_BASH = "bash as a session has it, read so"
SAFE = "the same, and what is checked and made safe"
ECHO = "websocket echo, as many at once"
LEAST = "the least that sessions can take"
_TRUE = "true"


@dataclass(frozen=True, slots=True)
class Crowd:
    """Sessions of one kind: `step` runs `commands` in all of them together."""

    step: Step
    commands: int


async def measure(plan: Plan) -> Report:
    """Rows for the floors, every backend and every peer's every mode."""
    sessions = plan.count(SESSIONS, 5)
    async with runtimes(plan) as started, open_peers(plan) as peers, AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        crowds = _floors(stack, folder, sessions, plan.count(EACH, 2))
        echo = await stack.enter_async_context(websocket_peer("echo", folder))
        crowds[ECHO] = _echo(echo, sessions, plan.count(EACH, 2))
        for backend, runtime in started.items():
            crowds[tether(backend)] = await _tether(runtime, sessions, plan.count(EACH, 2))
        beside = {peer.name: peer for peer in peers if peer.each}
        for peer in beside.values():
            plan.tell(f"opening {sessions} of {peer.name}")
            crowds[peer.name] = await _peer(stack, peer, sessions, plan.count(peer.each, 1))
        steps = {name: crowd.step for name, crowd in crowds.items()}
        samples = await take_turns(steps, rounds=plan.count(5, 1))
    samples, counts = _with_least(samples), {name: it.commands for name, it in crowds.items()}
    title = f"`true` after `true` in {sessions} sessions at once"
    floor = "the least that sessions can take; a peer's: Tether's rate in the same place to its own"
    return Report("crowd", title, _rows(samples, counts, beside), floor=floor)


def _floors(stack: AsyncExitStack, folder: Path, sessions: int, each: int) -> dict[str, Crowd]:
    bare = [stack.enter_context(PipeBash()) for _ in range(sessions)]
    kept = [stack.enter_context(SessionBash()) for _ in range(sessions)]
    least = stack.enter_context(Least(folder))

    def crowd(shells: Sequence[Begins], after: Callable[[], None]) -> Crowd:
        async def run() -> None:
            run_crowd(shells, _TRUE, each, after)

        return Crowd(run, sessions * each)

    return {
        FLOOR: crowd(bare, _nothing),
        SESSIONS_BASH: crowd(kept, _nothing),
        SAFE: crowd(kept, least.run),
    }


def _nothing() -> None:
    """What a command costs beyond bash, in the barest crowd."""


def _echo(peer: BareWebsocket, sessions: int, each: int) -> Crowd:
    submit = encode(SubmitFrame(id="0" * 24, action=CmdRunAction(command=_TRUE))).decode()

    async def run() -> None:
        for _ in range(each):
            await peer.ask_many(submit, sessions)

    return Crowd(run, sessions * each)


def _with_least(samples: Mapping[str, list[float]]) -> dict[str, list[float]]:
    """The floors come first; their last row is two of them added up, which both keep two
    processors busy.
    """
    both = [safe + echo for safe, echo in zip(samples[SAFE], samples[ECHO], strict=True)]
    floors = {name: samples[name] for name in (FLOOR, SESSIONS_BASH, SAFE, ECHO)}
    return {**floors, LEAST: both, **samples}


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


def _rows(
    samples: Mapping[str, list[float]], counts: Mapping[str, int], peers: Mapping[str, Peer]
) -> tuple[Row, ...]:
    rows: dict[str, Row] = {}
    for name, times in samples.items():
        row = rate_row(name, times, counts.get(name, counts[FLOOR]), unit="/s")
        if name.startswith("Tether"):
            row = replace(row, ratio=row.value / rows[LEAST].value, aim=AIM)
        elif name in peers:
            row = _beside(row, peers[name], rows.get(tether(peers[name].place)))
        rows[name] = row
    return tuple(rows.values())


def _beside(row: Row, peer: Peer, ours: Row | None) -> Row:
    if ours is None:
        return row
    aim = None if peer.keeps == "a shell, marked" else AHEAD
    return replace(row, ratio=ours.value / row.value, aim=aim)
