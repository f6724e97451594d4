"""What it costs to put the client into an image, and to start one that has it: built or mounted."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Literal

from tether_image_builder import BuildResult, build_image
from tether_server import CmdRunAction, EventStreamRuntime

from .plan import Plan
from .report import Aim, Report, Row, median, time_row

if TYPE_CHECKING:
    import docker

COPY = "floor: a one-line COPY of the same bytes"
BUILD = "runtime-build, warm environment"
AGAIN = "runtime-build, nothing to do"
RUN = "floor: docker run --rm IMAGE true"
BUILT = "built image to first result"
MOUNTED = "mounted environment to first result"
_NAMES = "tether-bench/injection"
_PREFIX = "/opt/tether"


async def measure(plan: Plan) -> Report:
    """Rows for building and for starting. Nothing where there is no engine."""
    if "docker" not in plan.backends:
        return Report("injection", "needs a container engine", ())
    import docker

    with closing(await asyncio.to_thread(docker.from_env, version="auto")) as engine:
        result = await asyncio.to_thread(build_image, plan.image, client=engine)
        builds = await asyncio.to_thread(_build_in_turns, engine, plan, result.environment_image)
    return _report(builds, await _start_in_turns(plan), result)


def _build_in_turns(
    engine: docker.DockerClient, plan: Plan, environment: str
) -> dict[str, list[float]]:
    """Each round has an image of its own that no client was ever put into."""
    samples: dict[str, list[float]] = {COPY: [], BUILD: [], AGAIN: []}
    for round_ in range(plan.count(7, 1)):
        image = _make(engine, f"FROM {plan.image}\nLABEL tether.bench={round_}\n", "base")
        copy = f"FROM {image}\nCOPY --from={environment} {_PREFIX} {_PREFIX}\n"
        samples[COPY].append(_seconds(partial(_make, engine, copy, "copy")))
        build = partial(build_image, image, client=engine)
        samples[BUILD].append(_seconds(build))
        samples[AGAIN].append(_seconds(build))
        for name in (build().tag, f"{_NAMES}:copy", image):
            engine.images.remove(name)
    return samples


def _make(engine: docker.DockerClient, dockerfile: str, tag: str) -> str:
    name = f"{_NAMES}:{tag}"
    engine.images.build(fileobj=io.BytesIO(dockerfile.encode()), tag=name, rm=True)
    return name


def _seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


async def _start_in_turns(plan: Plan) -> dict[str, list[float]]:
    """Ends are not part of it: a sandbox is stopped after its time was taken."""
    steps = {
        RUN: partial(_run_by_cli, plan.image),
        BUILT: partial(_first_result, plan, "build"),
        MOUNTED: partial(_first_result, plan, "mount"),
    }
    samples: dict[str, list[float]] = {name: [] for name in steps}
    for round_ in range(1 + plan.count(9, 1)):
        for name, step in steps.items():
            seconds = await step()
            if round_:  # the first one filled caches, and the volume
                samples[name].append(seconds)
    return samples


async def _run_by_cli(image: str) -> float:
    begin = time.perf_counter()
    process = await asyncio.create_subprocess_exec("docker", "run", "--rm", image, "true")
    if await process.wait():
        raise RuntimeError(f"docker run {image} true failed")
    return time.perf_counter() - begin


async def _first_result(plan: Plan, inject: Literal["build", "mount"]) -> float:
    begin = time.perf_counter()
    async with EventStreamRuntime(plan.image, inject=inject, progress=plan.tell) as runtime:
        await runtime.run(CmdRunAction(command="true"))
        return time.perf_counter() - begin


def _report(
    builds: dict[str, list[float]], starts: dict[str, list[float]], result: BuildResult
) -> Report:
    aim = Aim(1.3 * median(starts[RUN]) + 0.5, of="value")
    rows = [
        time_row(COPY, builds[COPY], unit="s"),
        time_row(BUILD, builds[BUILD], unit="s", floor=builds[COPY], aim=Aim(1.2)),
        time_row(AGAIN, builds[AGAIN], unit="s", aim=Aim(0.3, of="value")),
        Row("bytes added to the image", result.bytes_added / 1e6, "MB", aim=Aim(90, of="value")),
        time_row(RUN, starts[RUN], unit="s"),
        time_row(BUILT, starts[BUILT], unit="s", floor=starts[RUN]),
        time_row(MOUNTED, starts[MOUNTED], unit="s", floor=starts[RUN], aim=aim),
    ]
    title = "putting the client into an image, and starting it"
    return Report("injection", title, tuple(rows), floor="the floor above", bars=False)
