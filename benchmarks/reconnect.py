"""How long it takes until events come again: after a cut, and to a server that is new."""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

from websockets.asyncio.client import unix_connect

from tether_server import CmdRunAction, Connected, EventStreamRuntime

from .floor import websocket_peer
from .plan import Plan
from .report import Report, time_row
from .subjects import new_runtime, runtimes

FLOOR = "a bare websocket: connect, ask"
_TRUE = CmdRunAction(command="true")


async def measure(plan: Plan) -> Report:
    """Rows for each backend; a cut is the network's, so what was sent before is gone with it."""
    samples: dict[str, list[float]] = defaultdict(list)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        await stack.enter_async_context(websocket_peer("echo", folder))
        started = await stack.enter_async_context(runtimes(plan))
        kept = {backend: await _left_behind(backend, plan, stack) for backend in plan.backends}
        for _ in range(plan.count(40, 3)):
            samples[FLOOR].append(await _ask_anew(folder / "echo.sock"))
            for name, runtime in started.items():
                event, result = await _cut(runtime)
                samples[f"{name}: from a cut to the first event"].append(event)
                samples[f"{name}: from a cut to a result of `true`"].append(result)
                samples[f"{name}: a new server attaches"].append(await _attach(kept[name]))
    floor = samples[FLOOR]
    rows = [
        time_row(name, times, floor=None if name == FLOOR else floor)
        for name, times in samples.items()
    ]
    return Report("reconnect", "back to events", tuple(rows), floor="the floor, p50 to p50")


async def _ask_anew(path: Path) -> float:
    began = time.perf_counter()
    async with unix_connect(str(path), uri="ws://floor/", compression=None) as connection:
        await connection.send("x")
        await connection.recv()
    return time.perf_counter() - began


async def _cut(runtime: EventStreamRuntime) -> tuple[float, float]:
    """Seconds until the first event over the next connection, and until a result."""
    since = runtime.events.last_seq
    began = time.perf_counter()
    runtime.cut_connection()
    async with aclosing(runtime.events.subscribe(since)) as events:  # type: ignore[type-var]
        async for event in events:
            if isinstance(event, Connected):
                break
    connected = time.perf_counter()
    await runtime.run(_TRUE)
    return connected - began, time.perf_counter() - began


async def _left_behind(backend: str, plan: Plan, stack: AsyncExitStack) -> str:
    """The name of a sandbox whose server has gone."""
    runtime = new_runtime(backend, plan)
    await runtime.start()
    await runtime.run(_TRUE)
    await runtime.close(keep=True)
    stack.push_async_callback(_remove, runtime.name)
    return runtime.name


async def _attach(name: str) -> float:
    """Until everything is there that the server missed."""
    runtime = EventStreamRuntime.attach(name)
    began = time.perf_counter()
    await runtime.start()
    took = time.perf_counter() - began
    await runtime.close(keep=True)
    return took


async def _remove(name: str) -> None:
    async with EventStreamRuntime.attach(name) as runtime:
        await runtime.close(keep=False)
