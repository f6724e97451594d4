"""Floods and crowds: much output, many sessions, many commands. Nothing grows, nobody waits."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

import pytest
import pytest_asyncio

from tether_runtime_client.protocol.events import CmdOutputDelta, OutputOmitted
from tether_server import (
    CmdOutputObservation,
    CmdPollAction,
    CmdRunAction,
    EventStreamRuntime,
    SessionWarning,
)

from ..places import ENGINE, PLACES
from .footprint import client_pid, footprint, forget_peak

log = logging.getLogger(__name__)  # the figures, with --log-cli-level=INFO

MB = 1_000_000
BLOCK = MB
LINE = b"0123456789abcdefghijklmnopqrstuvwxyz!"
ANSWER_S = 0.1
"""What others may wait for while one floods; tests allow five times as much."""

GROWTH = 30 * MB

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="a client's descriptors are root's to see"
)


@dataclass(frozen=True)
class Sandbox:
    """A runtime nobody used before, and its client's process."""

    runtime: EventStreamRuntime
    client: int

    async def run(self, command: str, session: str = "default") -> CmdOutputObservation:
        """Runs a command that has to end well."""
        action = CmdRunAction(command=command, session=session, timeout_s=900)
        seen = await self.runtime.run(action)
        assert (seen.status, seen.exit_code) == ("completed", 0), seen
        return seen


@pytest_asyncio.fixture(params=PLACES, loop_scope="session")
async def sandbox(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Sandbox]:
    """Its history is large: it goes with the test. No startup files of this user's."""
    place: str = request.param
    image = None if place == "local" else request.getfixturevalue(place)
    backend = "local" if image is None else "docker"
    with tempfile.TemporaryDirectory(prefix="tether-flood-") as folder:
        monkeypatch.setenv("TETHER_STATE_DIR", folder)
        runtime = EventStreamRuntime(image, backend=backend, env={"HOME": "/"})
        async with runtime:
            await runtime.run(CmdRunAction(command="true"))
            yield Sandbox(runtime, await client_pid(runtime, place))


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(100 * MB, id="100MB"),
        pytest.param(2000 * MB, id="2GB", marks=[pytest.mark.slow, pytest.mark.timeout(900)]),
    ],
)
async def test_a_flood_is_whole_in_its_file_and_holds_up_nobody(
    sandbox: Sandbox, size: int
) -> None:
    folder = (await sandbox.run("cd $(mktemp -d) && pwd", "flood")).content.strip()
    await sandbox.run(f"yes {LINE.decode()} | head -c {BLOCK} >pattern", "flood")
    await sandbox.run("sleep 1000 & true", "other")
    before = footprint(sandbox.client)
    forget_peak(sandbox.client)
    ours = footprint(os.getpid())
    forget_peak(os.getpid())

    blocks = size // BLOCK
    command = f"for ((i = 0; i < {blocks}; i++)); do echo block $i; cat pattern; done"
    flood = asyncio.create_task(sandbox.run(command, "flood"))
    waits = await _waits_until(flood, _other_work(sandbox))
    seen = await flood

    log.info("others waited, in ms: %s", _told(waits))
    # Nine of ten: a busy machine may leave any of its processes alone for a second.
    assert statistics.quantiles(waits, n=10)[-1] < 5 * ANSWER_S, _told(waits)
    growth = footprint(sandbox.client).peak - before.resident
    own_growth = footprint(os.getpid()).peak - ours.resident
    log.info("memory grew by %.1f MB in the client, %.1f here", growth / MB, own_growth / MB)
    assert growth < GROWTH
    assert own_growth < GROWTH

    expected = _Flood(blocks)
    assert seen.total_bytes == expected.size
    assert seen.truncated
    assert seen.content.startswith(f"block 0\n{LINE.decode()}\n")
    assert seen.content.endswith(expected.end)
    assert f"{expected.size - 256 * 1024} bytes left out" in seen.content
    assert seen.full_output_path is not None
    digest = await sandbox.runtime.exec(["sha256sum", seen.full_output_path])
    assert digest.stdout.split()[0].decode() == expected.digest
    if size <= 100 * MB:
        _check_events(sandbox.runtime, seen)
    await sandbox.runtime.exec(["rm", "-r", seen.full_output_path, folder])


@pytest.mark.parametrize(
    "image", [pytest.param(name, marks=ENGINE) for name in ("debian", "busybox")]
)
async def test_a_flood_that_the_disk_has_no_room_for(
    request: pytest.FixtureRequest, image: str
) -> None:
    """The command goes on, what there was is reported, the room is given back."""
    limits = {"shm_size": "1m"}
    async with EventStreamRuntime(request.getfixturevalue(image), resources=limits) as runtime:
        own = Sandbox(runtime, 0)
        seen = await own.run("head -c 300000 /dev/zero | tr '\\0' x")
        folder = os.path.dirname(str(seen.full_output_path))
        await runtime.exec(f"rm -r {folder} && ln -s /dev/shm {folder}")
        since = runtime.events.last_seq
        seen = await own.run("seq 1 400000; echo end")
        assert (seen.truncated, seen.full_output_path) == (True, None)
        assert seen.content.startswith("1\n2\n")
        assert seen.content.endswith("400000\nend\n")
        told = [e.message for e in runtime.events.since(since) if isinstance(e, SessionWarning)]
        assert len(told) == 1
        assert "the disk is full" in told[0]
        assert (await runtime.exec(["ls", "/dev/shm"])).stdout == b""
        assert (await own.run("echo on")).content == "on\n"


def _check_events(runtime: EventStreamRuntime, seen: CmdOutputObservation) -> None:
    """Every byte is in a delta or was said to be left out, in order and once."""
    at = 0
    for event in runtime.events.since(0):
        if event.action_id != seen.action_id:
            continue
        if isinstance(event, CmdOutputDelta):
            assert event.offset == at
            at += event.length
        elif isinstance(event, OutputOmitted):
            assert event.from_offset == at
            at = event.to_offset
    assert at == seen.total_bytes


class _Flood:
    """What the flood prints."""

    def __init__(self, blocks: int) -> None:
        pattern = (LINE + b"\n") * (BLOCK // len(LINE) + 1)
        pattern = pattern[:BLOCK]
        digest, self.size = hashlib.sha256(), 0
        for number in range(blocks):
            block = b"block %d\n" % number + pattern
            digest.update(block)
            self.size += len(block)
        self.digest = digest.hexdigest()
        self.end = pattern[-1000:].decode()


def _other_work(sandbox: Sandbox) -> list[Callable[[], Awaitable[object]]]:
    """A command in another session, a look at a third one, and a process."""
    poll = CmdPollAction(session="other", timeout_s=0)
    return [
        lambda: sandbox.run("true", "third"),
        lambda: sandbox.runtime.run(poll),
        lambda: sandbox.runtime.exec(["true"]),
    ]


async def _waits_until(
    over: asyncio.Task[CmdOutputObservation], work: Sequence[Callable[[], Awaitable[object]]]
) -> list[float]:
    """Seconds that each piece of work took, one after the other until the task is done."""
    waits = []
    for piece in work:
        await piece()  # the session is there
    while not over.done():
        for piece in work:
            began = time.perf_counter()
            await piece()
            waits.append(time.perf_counter() - began)
        await asyncio.sleep(0.005)  # a look now and then, not another load
    return waits


def _told(waits: Sequence[float]) -> str:
    ordered = sorted(waits)
    p50, p99 = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
    return f"p50 {p50 * 1e3:.1f} p99 {p99 * 1e3:.1f} max {ordered[-1] * 1e3:.1f} of {len(ordered)}"
