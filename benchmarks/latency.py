"""The time of `true` in a kept session, from `run` to its observation."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tether_runtime_client.protocol.frames import SubmitFrame, encode
from tether_server import CmdRunAction, EventStreamRuntime

from .floor import BareWebsocket, PipeBash, websocket_peer
from .least import Least, SessionBash
from .plan import Plan
from .report import Aim, Report, Row, time_row
from .subjects import runtimes
from .turns import Step, take_turns

AIM = Aim(1.5)
ECHO = "websocket echo"
BASH = "bash on pipes"
FLOOR = "floor: the two added up"
PLAIN = "bash behind a websocket"
PROMISES = "what is checked and made safe"
SESSION = "bash as a session has it"
LEAST = "the least a session can take"
_TRUE = CmdRunAction(command="true")


async def measure(plan: Plan) -> Report:
    """Rows for the floors and for every backend."""
    with (
        tempfile.TemporaryDirectory() as folder,
        PipeBash() as bash,
        Least(Path(folder)) as least,
        SessionBash() as session,
    ):
        path = Path(folder)
        async with (
            websocket_peer("echo", path) as echo,
            websocket_peer("bash", path) as plain,
            runtimes(plan) as started,
        ):
            steps = {**_floor_steps(echo, plain, bash), **_least_steps(least, session)}
            steps |= {f"Tether, {name}": partial(_run, it) for name, it in started.items()}
            samples = await take_turns(steps, rounds=plan.count(40, 2), block=plan.count(25, 5))
    return _report(samples)


def _floor_steps(echo: BareWebsocket, plain: BareWebsocket, bash: PipeBash) -> dict[str, Step]:
    submit = encode(SubmitFrame(id="0" * 24, action=_TRUE)).decode()

    async def run_bash() -> None:
        bash.run("true")

    return {ECHO: partial(echo.ask, submit), BASH: run_bash, PLAIN: partial(plain.ask, "true")}


def _least_steps(least: Least, session: SessionBash) -> dict[str, Step]:
    async def run_least() -> None:
        least.run()

    async def run_session() -> None:
        session.run("true")

    return {PROMISES: run_least, SESSION: run_session}


async def _run(runtime: EventStreamRuntime) -> None:
    await runtime.run(_TRUE)


def _report(samples: dict[str, list[float]]) -> Report:
    both = [one + other for one, other in zip(samples[ECHO], samples[BASH], strict=True)]
    rows = [time_row(ECHO, samples[ECHO]), time_row(BASH, samples[BASH]), time_row(FLOOR, both)]
    rows += [time_row(name, samples[name], floor=both) for name in (PLAIN, PROMISES, SESSION)]
    rows.append(time_row(LEAST, _least(samples), floor=both))
    rows += _tether_rows(samples, both)
    return Report("latency", "`true` in a kept session", tuple(rows), floor="the floor, p50 to p50")


def _least(samples: dict[str, list[float]]) -> list[float]:
    """A bare bash behind a bare websocket, but with a session's bash, and all promises kept."""
    kinds = (samples[PLAIN], samples[BASH], samples[SESSION], samples[PROMISES])
    return [plain - bare + own + made for plain, bare, own, made in zip(*kinds, strict=True)]


def _tether_rows(samples: dict[str, list[float]], floor: Sequence[float]) -> list[Row]:
    names = [name for name in samples if name.startswith("Tether")]
    return [time_row(name, samples[name], floor=floor, aim=AIM) for name in names]
