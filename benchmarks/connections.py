"""What many sandboxes cost the one process that serves them: idle ones, and busy ones among them.

The server is this process with its own runtimes and histories. The sandboxes are played by another
one (see `many_clients`), so that a thousand of them fit on a machine.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from tether_runtime_client.protocol import Event, auth
from tether_server import CmdRunAction, EventStreamRuntime
from tether_server.backends import Backend, Progress, Sandbox, SandboxSpec
from tether_server.link import Ended
from tether_server.record import SandboxRecord
from tether_server.transports import Transport, UnixTransport

from .plan import Plan
from .processes import memory, usage
from .report import Report, Row, time_row

STARTED_AT_ONCE = 20
_TRUE = CmdRunAction(command="true")


async def measure(plan: Plan) -> Report:
    """Memory and descriptors a connection, the processor while all are idle, and some at work."""
    count, busy = plan.count(1000, 10), plan.count(100, 3)
    _allow_descriptors(20 * count + 200)
    with tempfile.TemporaryDirectory(prefix="tether-bench-") as folder:
        async with _played(Path(folder), count + 1) as secret, AsyncExitStack() as stack:
            await _start(stack, Path(folder), secret, 0)  # what the first one alone loads
            before = _held()
            plan.tell(f"connecting to {count:,} sandboxes")
            began = time.perf_counter()
            runtimes = await _start_all(stack, Path(folder), secret, count)
            took = time.perf_counter() - began
            rows = [
                Row("started and connected", len(runtimes) / took, "/s"),
                *_held_rows(before, _held(), len(runtimes)),
                *await _idle_rows(plan, len(runtimes)),
                *await _busy_rows(plan, runtimes[:busy], len(runtimes)),
            ]
    return Report("connections", f"{count:,} sandboxes, one server", tuple(rows), bars=False)


# --- the sandboxes


@asynccontextmanager
async def _played(folder: Path, count: int) -> AsyncIterator[str]:
    """The process that plays them, at `folder/<number>/client.sock`; yields their secret."""
    secret = auth.new_secret()
    command = [sys.executable, "-m", "benchmarks.many_clients", str(folder), str(count)]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parent.parent
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(secret.encode() + b"\n")
        if await process.stdout.readline() != b"ready\n":
            raise RuntimeError("the process that plays the sandboxes did not come up")
        yield secret
    finally:
        process.stdin.close()
        await process.wait()


class _Played(Sandbox):
    """One of them."""

    backend = "played"
    image = None
    transport = "unix"

    def __init__(self, path: Path) -> None:
        self._transport = UnixTransport(path)

    @property
    def handle(self) -> dict[str, str]:
        return {}

    def transports(self) -> Sequence[Transport]:
        return (self._transport,)

    async def ready(self) -> None:
        """They listen from the beginning."""

    async def ended(self) -> Ended | None:
        return None

    def log_tail(self) -> str:
        return ""

    def controlled(self, tell: Callable[[Event], None], still: Callable[[], bool]) -> None:
        """Nothing runs beside them."""

    async def stop(self) -> None:
        """They end all together."""

    async def release(self) -> None:
        """Nothing is held."""


class _Players(Backend):
    name = "played"

    def __init__(self, path: Path) -> None:
        self._path = path

    async def start(self, spec: SandboxSpec, progress: Progress) -> Sandbox:
        return _Played(self._path)

    async def attach(self, record: SandboxRecord) -> Sandbox:
        return _Played(self._path)

    async def close(self) -> None:
        """Nothing is held."""


async def _start(
    stack: AsyncExitStack, folder: Path, secret: str, number: int
) -> EventStreamRuntime:
    runtime = EventStreamRuntime(None, backend="local")
    runtime._backend = _Players(folder / str(number) / "client.sock")
    runtime._spec = replace(runtime._spec, secret=secret)
    return await stack.enter_async_context(runtime)


async def _start_all(
    stack: AsyncExitStack, folder: Path, secret: str, count: int
) -> list[EventStreamRuntime]:
    started: list[EventStreamRuntime] = []
    for first in range(1, count + 1, STARTED_AT_ONCE):
        numbers = range(first, min(count + 1, first + STARTED_AT_ONCE))
        started += await asyncio.gather(*(_start(stack, folder, secret, n) for n in numbers))
    return started


# --- what they cost


def _allow_descriptors(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _held() -> tuple[float, int]:
    """Megabytes resident, and descriptors."""
    gc.collect()
    return memory(os.getpid())["Rss"], len(os.listdir("/proc/self/fd"))


def _held_rows(before: tuple[float, int], after: tuple[float, int], count: int) -> list[Row]:
    kilobytes = 1000 * (after[0] - before[0]) / count
    descriptors = (after[1] - before[1]) / count
    return [
        Row("memory a connection", kilobytes, "kB"),
        Row("descriptors a connection", descriptors, ""),
    ]


async def _idle_rows(plan: Plan, count: int) -> list[Row]:
    """The longer the better: each connection is pinged every 20 s."""
    seconds = plan.count(30, 1)
    await asyncio.sleep(plan.count(10, 1) / 5)  # what follows a connection is not idleness
    before = usage(os.getpid())
    await asyncio.sleep(seconds)
    used = usage(os.getpid()).since(before)
    percent = 100 * used.cpu_s / seconds
    return [
        Row(f"all {count:,} idle: processor", percent, "%"),
        Row(f"all {count:,} idle: task switches", used.switches / seconds, "/s"),
    ]


async def _busy_rows(plan: Plan, busy: list[EventStreamRuntime], count: int) -> list[Row]:
    """Actions one after another in each of them, while the others stay connected."""
    each = plan.count(100, 3)
    times: list[float] = []

    async def work(runtime: EventStreamRuntime) -> None:
        for _ in range(each):
            began = time.perf_counter()
            await runtime.run(_TRUE)
            times.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*map(work, busy))
    rate = len(times) / (time.perf_counter() - began)
    name = f"{len(busy)} of {count:,} busy"
    return [Row(f"{name}: actions", rate, "/s"), time_row(f"{name}: an action", times)]
