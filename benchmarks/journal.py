"""What it costs that every event is on disk before it is sent: `true` with and without a journal.

The client without one is this benchmark's own (see `journal_hook`): there is no such option.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from tether_server import CmdRunAction, EventStreamRuntime

from .hook import client_loads
from .journal_hook import __file__ as hook
from .plan import Plan
from .report import Aim, Report, time_row
from .turns import take_turns

AIM = Aim(1.15)
WITHOUT = "a client that writes no journal"
WITH = "Tether, local"
_TRUE = CmdRunAction(command="true")


async def measure(plan: Plan) -> Report:
    """The same command in both, by turns. Both servers keep their histories."""
    async with AsyncExitStack() as stack:
        with client_loads(Path(hook).parent, TETHER_BENCH_NO_JOURNAL="1"):
            without = await _started(stack)
        kept = await _started(stack)
        steps = {WITHOUT: partial(without.run, _TRUE), WITH: partial(kept.run, _TRUE)}
        samples = await take_turns(steps, rounds=plan.count(60, 2), block=plan.count(25, 5))
    floor = samples[WITHOUT]
    rows = (time_row(WITHOUT, floor), time_row(WITH, samples[WITH], floor=floor, aim=AIM))
    return Report("journal", "`true`, journalled and not", rows, floor="no journal, p50 to p50")


async def _started(stack: AsyncExitStack) -> EventStreamRuntime:
    runtime = await stack.enter_async_context(EventStreamRuntime(None, backend="local"))
    await runtime.run(_TRUE)
    return runtime
