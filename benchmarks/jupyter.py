"""Python cells: beside a bare jupyter_client, from cold, and what they take in memory."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from jupyter_client.manager import AsyncKernelManager

from tether_server import EventStreamRuntime, IPythonListKernelsAction, IPythonRunCellAction

from .floor import websocket_peer
from .plan import Plan
from .processes import memory
from .report import Aim, Report, Row, time_row

BARE = "bare jupyter_client"
ECHO = "websocket echo"
AIM = Aim(1.3)
Run = Callable[[], Awaitable[None]]
_CELL = IPythonRunCellAction(code="1+1")
_COLD = """
import asyncio
from benchmarks.jupyter import bare_kernel
async def main():
    async with bare_kernel() as (run, _):
        await run()
        print("done", flush=True)
        input()
asyncio.run(main())
"""


async def measure(plan: Plan) -> Report:
    """Rows for each backend; the floor of a cell is jupyter_client's, and a websocket's echo."""
    samples: dict[str, list[float]] = defaultdict(list)
    rows: list[Row] = []
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        echo = await stack.enter_async_context(websocket_peer("echo", folder))
        bare, kernel_pid = await stack.enter_async_context(bare_kernel())
        started = {name: _runtime(name, plan) for name in plan.backends}
        for name, runtime in started.items():
            await stack.enter_async_context(runtime)
            samples[_first(f"Tether, {name}")].append(await _timed_cell(runtime))
        samples[_first(BARE)] = [await _bare_from_cold() for _ in range(plan.count(5, 1))]
        for _ in range(plan.count(500, 5)):
            samples[ECHO].append(await _timed(lambda: echo.ask("x" * 200)))
            samples[f"1+1: {BARE}"].append(await _timed(bare))
            for name, runtime in started.items():
                samples[f"1+1: Tether, {name}"].append(await _timed_cell(runtime))
        for name, runtime in started.items():
            rows += await _memory_rows(name, runtime)
        rows.append(Row(f"kernel RSS: {BARE}", memory(kernel_pid)["Rss"], "MB"))
    return Report(
        "jupyter", "Python cells", (*_time_rows(samples), *rows), floor="bare, p50 to p50"
    )


def _time_rows(samples: dict[str, list[float]]) -> list[Row]:
    both = [one + other for one, other in zip(samples[f"1+1: {BARE}"], samples[ECHO], strict=True)]
    rows = []
    for name, times in samples.items():
        ours = "Tether" in name
        cold = name.startswith("first")
        floor = (samples[_first(BARE)] if cold else both) if ours else None
        aim = AIM if ours and not cold else None
        rows.append(time_row(name, times, unit="s" if cold else "ms", floor=floor, aim=aim))
    return rows


def _first(who: str) -> str:
    return f"first cell from cold: {who}"


def _runtime(backend: str, plan: Plan) -> EventStreamRuntime:
    image = None if backend == "local" else plan.image
    return EventStreamRuntime(image, backend=backend, plugins=["jupyter"], progress=plan.tell)


@asynccontextmanager
async def bare_kernel() -> AsyncIterator[tuple[Run, int]]:
    """Runs `1+1` and waits for all that comes of it, as any user of jupyter_client does."""
    with tempfile.TemporaryDirectory() as folder:
        manager = AsyncKernelManager(transport="ipc", connection_file=f"{folder}/connection.json")
        manager.ip = f"{folder}/socket"
        await manager.start_kernel()
        client = manager.client()
        client.start_channels()

        async def run() -> None:
            identity = client.execute("1+1")
            while True:
                message = await client.get_iopub_msg(timeout=30)
                ours = message["parent_header"].get("msg_id") == identity
                if ours and message["content"].get("execution_state") == "idle":
                    break
            await client.get_shell_msg(timeout=30)

        try:
            await client.wait_for_ready(timeout=30)
            yield run, manager.provisioner.pid
        finally:
            client.stop_channels()
            await manager.shutdown_kernel(now=True)
            manager.context.destroy(linger=0)


async def _bare_from_cold() -> float:
    """A fresh Python with jupyter_client, as the plugin's process is one."""
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _COLD, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    line = await process.stdout.readline()
    took = time.perf_counter() - began
    await process.communicate(b"\n")
    assert line == b"done\n"
    return took


async def _timed(run: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await run()
    return time.perf_counter() - began


async def _timed_cell(runtime: EventStreamRuntime) -> float:
    began = time.perf_counter()
    seen = await runtime.run(_CELL)
    took = time.perf_counter() - began
    assert seen.content == "2"
    return took


async def _memory_rows(name: str, runtime: EventStreamRuntime) -> list[Row]:
    """Only of processes that are seen from here under the numbers that they have there."""
    if name != "local":
        return []
    [plugin] = await runtime.plugins()
    [kernel] = (await runtime.run(IPythonListKernelsAction())).kernels
    assert plugin.pid is not None
    assert kernel.pid is not None
    return [
        Row("plugin's process RSS", memory(plugin.pid)["Rss"], "MB"),
        Row(f"kernel RSS: Tether, {name}", memory(kernel.pid)["Rss"], "MB"),
    ]
