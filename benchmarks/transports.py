"""The time of `true` over each transport to a container, side by side."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial

from tether_server import CmdRunAction, EventStreamRuntime, Ssh, Tcp
from tether_server.transports import Dial, TransportSettings, name_of

from .peers.sshd import running_sshd
from .plan import Plan
from .report import Report, time_row
from .turns import Step, take_turns

FLOOR = "unix"
_TRUE = CmdRunAction(command="true")


async def measure(plan: Plan) -> Report:
    """A row for each. Without an engine there is but one: a process here has a UNIX socket."""
    async with AsyncExitStack() as stack:
        steps: dict[str, Step] = {}
        for name, settings in _settings(plan, stack).items():
            plan.tell(f"starting a runtime over {name}")
            runtime = await stack.enter_async_context(_runtime(plan, settings))
            await runtime.run(_TRUE)
            steps[name] = partial(runtime.run, _TRUE)
        samples = await take_turns(steps, rounds=plan.count(40, 2), block=plan.count(25, 5))
    floor = samples[FLOOR]
    rows = [time_row(name, times, floor=floor) for name, times in samples.items()]
    return Report("transports", "`true` over each transport", tuple(rows), floor="unix, p50 to p50")


def _settings(plan: Plan, stack: AsyncExitStack) -> dict[str, TransportSettings]:
    if "docker" not in plan.backends:
        return {FLOOR: "unix"}
    sshd = stack.enter_context(running_sshd())
    host = f"{sshd.user}@{sshd.host}:{sshd.port}"
    by_name: list[TransportSettings] = ["unix", "netns", "tcp", "exec", "dial"]
    return {
        **{name_of(each): each for each in by_name},
        "ssh": Ssh(host=host, known_hosts=str(sshd.known_hosts), key=str(sshd.key)),
        "tcp, TLS": Tcp(tls=True),
        "dial, TLS": Dial(tls=True),
    }


def _runtime(plan: Plan, transport: TransportSettings) -> EventStreamRuntime:
    if "docker" not in plan.backends:
        return EventStreamRuntime(None, backend="local", transport=transport)
    return EventStreamRuntime(plan.image, transport=transport, progress=plan.tell)
