"""Many sessions at once, and many commands in one: nothing is mixed up, nothing grows."""

from __future__ import annotations

import asyncio
import logging
import os
import statistics
import time

import pytest

from tether_server import CmdRunAction

from .footprint import Footprint, footprint
from .test_floods import MB, Sandbox, sandbox  # noqa: F401

log = logging.getLogger(__name__)  # the figures, with --log-cli-level=INFO

SESSIONS = 50
DRIFT = 10 * MB
SAMPLE = 200

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="a client's descriptors are root's to see"
)


@pytest.mark.timeout(180)
async def test_fifty_sessions_at_once_are_apart(sandbox: Sandbox) -> None:  # noqa: F811
    async def live(number: int) -> tuple[str, str]:
        name = f"crowd-{number}"
        await sandbox.run(
            f"mine={number}; mkdir -p /tmp/crowd/{number}; cd /tmp/crowd/{number}", name
        )
        meeting.release()
        await everybody.wait()
        first = await sandbox.run('sleep 2; echo "$mine $PWD"', name)
        second = await sandbox.run('for i in 1 2 3 4 5; do echo "$mine $i"; done; (exit 0)', name)
        return first.content, second.content

    meeting, everybody = asyncio.Semaphore(0), asyncio.Event()
    lives = [asyncio.create_task(live(number)) for number in range(SESSIONS)]
    for _ in range(SESSIONS):
        await meeting.acquire()
    began = time.monotonic()
    everybody.set()
    seen = await asyncio.gather(*lives)
    took = time.monotonic() - began
    await sandbox.run("rm -r /tmp/crowd")

    assert seen == [
        (f"{n} /tmp/crowd/{n}\n", "".join(f"{n} {i}\n" for i in range(1, 6)))
        for n in range(SESSIONS)
    ]
    log.info("%d sessions took %.1f s", SESSIONS, took)
    assert took < SESSIONS * 2 / 4, "they wait for each other"


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(2_000, id="2000"),
        pytest.param(10_000, id="10000", marks=[pytest.mark.slow, pytest.mark.timeout(600)]),
    ],
)
async def test_many_commands_in_a_session_leave_no_trace(
    sandbox: Sandbox,  # noqa: F811
    count: int,
) -> None:
    action = CmdRunAction(command="echo line; x=$((x + 1))")

    async def run_some(times: int) -> list[float]:
        taken = []
        for _ in range(times):
            began = time.perf_counter()
            await sandbox.runtime.run(action)
            taken.append(time.perf_counter() - began)
        return taken

    first = await run_some(2 * SAMPLE)
    before = footprint(sandbox.client), footprint(os.getpid())
    await run_some(count - 3 * SAMPLE)
    last = await run_some(SAMPLE)
    after = footprint(sandbox.client), footprint(os.getpid())

    assert (await sandbox.run('echo "$x"')).content == f"{count}\n"
    drift = [_drift(*pair) for pair in zip(before, after, strict=True)]
    pace = _undisturbed(last) / _undisturbed(first[SAMPLE:])
    log.info("drift in MB, client and here: %s; last to first: %.2f", drift, pace)
    assert [pair.descriptors for pair in after] == [pair.descriptors for pair in before]
    assert max(drift) < DRIFT / MB
    assert pace < 5


def _undisturbed(taken: list[float]) -> float:
    """The fastest tenth: other programs on the machine slow down the rest at times."""
    return statistics.quantiles(taken, n=10)[0]


def _drift(before: Footprint, after: Footprint) -> float:
    return round((after.resident - before.resident) / MB, 1)
