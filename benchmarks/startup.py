"""From nothing to the first result, with an image that has the client in it already."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from tether_server import CmdRunAction

from .plan import Plan
from .report import Aim, Report, Row, time_row
from .subjects import new_runtime

if TYPE_CHECKING:
    import docker

READY_AIM = Aim(0.5, of="value")
CLI = "docker run --rm IMAGE true, CLI"
SDK = "floor: the same by the SDK"
READY = "Tether, docker: client ready"
_READY_LINE = b"tether-runtime-client: ready"

Run = Callable[[], Awaitable[dict[str, float]]]
"""Does one thing from start to end; returns seconds by the name of the row they belong to."""


async def measure(plan: Plan) -> Report:
    """Rows for each backend, and for the engine alone where there is docker."""
    runs = await _runs(plan)
    samples: dict[str, list[float]] = {}
    for round_ in range(1 + plan.count(9, 1)):
        for run in runs:
            for name, seconds in (await run()).items():
                samples.setdefault(name, []).append(seconds)
        if round_ == 0:  # it filled caches and built what was to be built
            samples.clear()
    return _report(samples)


async def _runs(plan: Plan) -> list[Run]:
    runs: list[Run] = []
    if "docker" in plan.backends:
        import docker

        engine = await asyncio.to_thread(docker.from_env)
        runs += [partial(_by_cli, plan.image), partial(_by_sdk, engine, plan.image)]
        runs.append(partial(_tether, "docker", plan, engine))
    if "local" in plan.backends:
        runs.append(partial(_tether, "local", plan, None))
    return runs


async def _by_cli(image: str) -> dict[str, float]:
    begin = time.perf_counter()
    process = await asyncio.create_subprocess_exec("docker", "run", "--rm", image, "true")
    if await process.wait():
        raise subprocess.CalledProcessError(process.returncode or 0, "docker run")
    return {CLI: time.perf_counter() - begin}


async def _by_sdk(engine: docker.DockerClient, image: str) -> dict[str, float]:
    def run() -> float:
        begin = time.perf_counter()
        container = engine.containers.create(image, "true")
        try:
            container.start()
            container.wait()
            return time.perf_counter() - begin
        finally:
            container.remove(force=True)

    return {SDK: await asyncio.to_thread(run)}


async def _tether(backend: str, plan: Plan, engine: docker.DockerClient | None) -> dict[str, float]:
    begin = time.perf_counter()
    async with new_runtime(backend, plan) as runtime:
        connected = time.perf_counter() - begin
        await runtime.run(CmdRunAction(command="true"))
        first = time.perf_counter() - begin
        ready = {} if engine is None else {READY: await _ready_after(engine, runtime.name)}
    return {
        **ready,
        f"Tether, {backend}: connected": connected,
        f"Tether, {backend}: first result": first,
    }


async def _ready_after(engine: docker.DockerClient, name: str) -> float:
    """Seconds from the container's start to the client's ready line, both by the engine's clock."""
    filters: dict[str, str | list[str] | bool] = {"label": f"tether.sandbox={name}"}
    (container,) = await asyncio.to_thread(engine.containers.list, filters=filters)
    log = await asyncio.to_thread(container.logs, timestamps=True)
    ready = next(line for line in log.splitlines() if _READY_LINE in line)
    started = container.attrs["State"]["StartedAt"]
    return _engine_time(ready.split()[0].decode()) - _engine_time(started)


def _engine_time(text: str) -> float:
    """Seconds since 1970; the engine writes nanoseconds, Python reads microseconds."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{fraction}")


def _report(samples: dict[str, list[float]]) -> Report:
    floor = samples.get(SDK)
    rows = [_row(name, times, floor) for name, times in samples.items()]
    return Report(
        "startup",
        "from nothing to the first result",
        tuple(rows),
        floor="create, start, wait by the SDK",
    )


def _row(name: str, seconds: list[float], floor: list[float] | None) -> Row:
    compared = floor if name.startswith("Tether, docker") and name != READY else None
    aim = READY_AIM if name == READY else None
    return time_row(name, seconds, unit="s", floor=compared, aim=aim)
