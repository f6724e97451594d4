"""The time of `true` beside what else runs commands: SSH, `docker exec`, SWE-ReX.

Each ratio is how many times as long the other takes: that of one in a container beside Tether in a
container, that of the rest beside Tether on this machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from tether_server import CmdRunAction, EventStreamRuntime

from .peers import Peer, open_peers
from .plan import Plan
from .report import Aim, Report, Row, time_row
from .side import tether
from .subjects import peer_step, runtimes
from .turns import Step, take_turns

AHEAD = Aim(1, at="least")
"""Of whatever starts a process a command or reads prompts."""

KEPT = Aim(1 / 1.5, at="least")
"""asyncssh's kept shell, the strongest: Tether is within 1.5 times."""

PROMPTED = Aim(200, at="least")
LONG_BLOCK = 150
"""Runs of Tether in a turn beside a peer that takes as long for one or two: a tenth of a second."""

_TRUE = CmdRunAction(command="true")


async def measure(plan: Plan) -> Report:
    """A row for every backend and every peer's every mode; each peer takes turns with Tether alone.

    Whoever has one of them has not the others' shells, threads and connections in the same process.
    """
    ours: dict[str, list[float]] = {}
    rows = []
    async with runtimes(plan) as started, open_peers(plan) as peers:
        steps = {tether(backend): partial(_run, each) for backend, each in started.items()}
        for peer in peers:
            samples = await _take_turns(plan, peer, steps)
            rows.append(_row(peer, samples))
            for name in samples.keys() & steps.keys():
                ours.setdefault(name, []).extend(samples[name])
    title = "`true` in a session, and what else runs commands"
    floor = "Tether in the same place, p50 to p50, in turns"
    rows = [*(time_row(name, ours[name]) for name in steps if name in ours), *rows]
    return Report("beside", title, tuple(rows), floor=floor, bars=False)


async def _take_turns(plan: Plan, peer: Peer, steps: Mapping[str, Step]) -> dict[str, list[float]]:
    """A peer's times, and Tether's in the same place where it is measured there."""
    place = tether(peer.place)
    async with peer_step(peer, "true") as step:
        turns = {name: steps[name] for name in (place,) if name in steps} | {peer.name: step}
        block = LONG_BLOCK if peer.block <= 2 else 25
        return await take_turns(
            turns,
            rounds=plan.count(40, 1),
            block=plan.count(block, 5),
            blocks={peer.name: peer.block},
        )


async def _run(runtime: EventStreamRuntime) -> None:
    await runtime.run(_TRUE)


def _row(peer: Peer, samples: Mapping[str, list[float]]) -> Row:
    floor = samples.get(tether(peer.place))
    return time_row(peer.name, samples[peer.name], floor=floor, aim=_aim(peer))


def _aim(peer: Peer) -> Aim | None:
    if peer.keeps == "a shell, marked":
        return KEPT if peer.name.startswith("asyncssh") else None
    return AHEAD if peer.keeps == "nothing" else PROMPTED
