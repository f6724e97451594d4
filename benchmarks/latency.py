"""The time of `true` in a kept session, from `run` to its observation."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tether_runtime_client.protocol.frames import SubmitFrame, encode
from tether_server import CmdRunAction, EventStreamRuntime

from .floor import Peer, PipeBash, websocket_peer
from .plan import Plan
from .report import Aim, Report, Row, time_row
from .subjects import runtimes
from .turns import Step, take_turns

AIM = Aim(1.5)
ECHO = "websocket echo"
BASH = "bash on pipes"
FLOOR = "floor: the two added up"
PLAIN = "bash behind a websocket"
_TRUE = CmdRunAction(command="true")


async def measure(plan: Plan) -> Report:
    """Rows for the floors and for every backend."""
    with tempfile.TemporaryDirectory() as folder, PipeBash() as bash:
        path = Path(folder)
        async with (
            websocket_peer("echo", path) as echo,
            websocket_peer("bash", path) as plain,
            runtimes(plan) as started,
        ):
            steps = _floor_steps(echo, plain, bash)
            steps |= {f"Tether, {name}": partial(_run, it) for name, it in started.items()}
            samples = await take_turns(steps, rounds=plan.count(40, 2), block=plan.count(25, 5))
    return _report(samples)


def _floor_steps(echo: Peer, plain: Peer, bash: PipeBash) -> dict[str, Step]:
    submit = encode(SubmitFrame(id="0" * 24, action=_TRUE)).decode()

    async def run_bash() -> None:
        bash.run("true")

    return {ECHO: partial(echo.ask, submit), BASH: run_bash, PLAIN: partial(plain.ask, "true")}


async def _run(runtime: EventStreamRuntime) -> None:
    await runtime.run(_TRUE)


def _report(samples: dict[str, list[float]]) -> Report:
    both = [one + other for one, other in zip(samples[ECHO], samples[BASH], strict=True)]
    rows = [time_row(ECHO, samples[ECHO]), time_row(BASH, samples[BASH]), time_row(FLOOR, both)]
    rows.append(time_row(PLAIN, samples[PLAIN], floor=both))
    rows += _tether_rows(samples, both)
    return Report("latency", "`true` in a kept session", tuple(rows), floor="the floor, p50 to p50")


def _tether_rows(samples: dict[str, list[float]], floor: Sequence[float]) -> list[Row]:
    names = [name for name in samples if name.startswith("Tether")]
    return [time_row(name, samples[name], floor=floor, aim=AIM) for name in names]
