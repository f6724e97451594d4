"""The time of `true` beside what else runs commands: SSH, `docker exec`, SWE-ReX.

Each ratio is how many times as long the other takes: that of one in a container beside Tether in a
container, that of the rest beside Tether on this machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
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
_TRUE = CmdRunAction(command="true")


async def measure(plan: Plan) -> Report:
    """A row for every backend and every peer's every mode."""
    async with (
        runtimes(plan) as started,
        open_peers(plan) as peers,
        AsyncExitStack() as stack,
    ):
        steps: dict[str, Step] = {
            tether(backend): partial(_run, runtime) for backend, runtime in started.items()
        }
        for peer in peers:
            steps[peer.name] = await stack.enter_async_context(peer_step(peer, "true"))
        blocks = {peer.name: peer.block for peer in peers}
        samples = await take_turns(
            steps, rounds=plan.count(40, 1), block=plan.count(25, 5), blocks=blocks
        )
    rows = [time_row(name, times) for name, times in samples.items() if name.startswith("Tether")]
    rows += [_row(peer, samples) for peer in peers]
    title = "`true` in a session, and what else runs commands"
    floor = "Tether in the same place, p50 to p50"
    return Report("beside", title, tuple(rows), floor=floor, bars=False)


async def _run(runtime: EventStreamRuntime) -> None:
    await runtime.run(_TRUE)


def _row(peer: Peer, samples: Mapping[str, list[float]]) -> Row:
    floor = samples.get(tether(peer.place))
    return time_row(peer.name, samples[peer.name], floor=floor, aim=_aim(peer))


def _aim(peer: Peer) -> Aim | None:
    if peer.keeps == "a shell, marked":
        return KEPT if peer.name.startswith("asyncssh") else None
    return AHEAD if peer.keeps == "nothing" else PROMPTED
