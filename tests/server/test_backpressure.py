"""Who reads slowly, or not at all: it costs disk and not memory, and nobody else waits for it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import aclosing
from pathlib import Path

import pytest

from tether_server import (
    CmdInterruptAction,
    CmdOutputDelta,
    CmdOutputObservation,
    CmdPollAction,
    CmdRunAction,
    ControllerBusy,
    EventStreamRuntime,
    OperatorRuntime,
    OutputOmitted,
)
from tether_server.record import load_record, sandbox_folder

log = logging.getLogger(__name__)  # the figures, with --log-cli-level=INFO

MB = 1_000_000
GROWTH = 30 * MB
FLOOD = "yes 0123456789abcdefghijklmnopqrstuvwxyz | head -c {}"


@pytest.fixture
async def local() -> AsyncIterator[EventStreamRuntime]:
    async with EventStreamRuntime(backend="local") as runtime:
        yield runtime


def client_of(runtime: EventStreamRuntime) -> int:
    """The pid of its client, the supervisor's child."""
    pid = int(load_record(runtime.name).handle["pid"])
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def memory(pid: int | str = "self") -> int:
    """Bytes that a process has."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def flood(runtime: EventStreamRuntime, size: int) -> CmdOutputObservation:
    seen = await runtime.run(CmdRunAction(command=FLOOD.format(size), session="flood"))
    assert (seen.exit_code, seen.total_bytes) == (0, size)
    return seen


async def check_all(stream: AsyncIterator[object], size: int) -> None:
    """Every byte is in one event or said to be left out, in order and once."""
    at = 0
    async for event in stream:
        if isinstance(event, CmdOutputDelta):
            assert event.offset == at
            at += event.length
        elif isinstance(event, OutputOmitted):
            assert event.from_offset == at
            at = event.to_offset
        if at == size:
            return


# --- readers of the history


@pytest.mark.parametrize(
    "pause_s", [0.0, pytest.param(60.0, marks=[pytest.mark.slow, pytest.mark.timeout(300)])]
)
async def test_a_reader_that_stops_reading_catches_up(
    local: EventStreamRuntime, pause_s: float
) -> None:
    """While others go on, each at its own speed."""
    size = 40 * MB
    async with (
        aclosing(local.events.subscribe()) as stopped,
        aclosing(local.events.subscribe()) as quick,
        aclosing(local.events.subscribe()) as slow,
    ):
        await anext(stopped)
        before, client_before = memory(), memory(client_of(local))
        reading = [asyncio.create_task(check_all(each, size)) for each in (quick, dawdling(slow))]
        first = await flood(local, size)
        await asyncio.sleep(pause_s)
        if pause_s:
            again = await local.run(CmdRunAction(command="echo meanwhile"))
            assert again.content == "meanwhile\n"
        assert memory() - before < GROWTH
        assert memory(client_of(local)) - client_before < GROWTH
        await asyncio.wait_for(asyncio.gather(*reading), 60)
        await asyncio.wait_for(check_all(stopped, size), 60)
        assert memory() - before < GROWTH
        assert first.truncated


async def dawdling(events: AsyncIterator[object]) -> AsyncIterator[object]:
    """One that takes its time for every hundredth event."""
    count = 0
    async for event in events:
        count += 1
        if count % 100 == 0:
            await asyncio.sleep(0.01)
        yield event


READER = """
import sys
from pathlib import Path
from tether_server.history import History
from tether_server.watch import FolderWatch
path = Path(sys.argv[1]); since = 0; ends = int(sys.argv[2])
history = History(path)
with FolderWatch(path.parent, path.name) as watch:
    print("reads", flush=True)
    while True:
        for event in history.since(since):
            assert event.seq == since + 1
            since = event.seq
            if getattr(event, "total_bytes", None) == ends:
                print("all", flush=True)
                sys.exit()
        watch.wait()
"""


async def test_many_readers_in_other_processes(local: EventStreamRuntime) -> None:
    size = 10 * MB
    path = sandbox_folder(local.name) / "history.sqlite3"
    command = [sys.executable, "-c", READER, str(path), str(size)]
    readers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    try:
        for reader in readers:
            assert reader.stdout is not None
            assert await asyncio.to_thread(reader.stdout.readline) == "reads\n"
        os.kill(readers[0].pid, signal.SIGSTOP)
        await flood(local, size)
        os.kill(readers[0].pid, signal.SIGCONT)
        for reader in readers:
            assert (await asyncio.to_thread(reader.communicate, timeout=60))[0] == "all\n"
            assert reader.returncode == 0
    finally:
        for reader in readers:
            reader.kill()
            reader.communicate()


# --- the server


SERVER = """
import asyncio, sys
from tether_server import CmdRunAction, EventStreamRuntime
async def main():
    async with EventStreamRuntime(backend="local", name="stops-reading") as runtime:
        print("up", flush=True)
        seen = await runtime.run(CmdRunAction(command=sys.argv[1], session="flood"))
        print(seen.total_bytes, flush=True)
        sys.stdin.readline()
asyncio.run(main())
"""


@pytest.mark.parametrize(
    "pause_s", [2.0, pytest.param(60.0, marks=[pytest.mark.slow, pytest.mark.timeout(300)])]
)
async def test_a_server_that_stops_reading(pause_s: float) -> None:
    """The client's memory stays as it is, and its journal within its bounds; then all comes."""
    size = 150 * MB
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, FLOOD.format(size)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    try:
        assert await asyncio.to_thread(server.stdout.readline) == "up\n"
        folder = sandbox_folder("stops-reading")
        pid = int(load_record("stops-reading").handle["pid"])
        client = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
        before, server_before = memory(client), memory(server.pid)
        os.kill(server.pid, signal.SIGSTOP)
        await asyncio.sleep(pause_s)  # the flood is over by then, or the journal full
        assert memory(client) - before < GROWTH
        journal = sum(file.stat().st_size for file in (folder / "run/state/journal").iterdir())
        assert MB < journal < 100 * MB
        os.kill(server.pid, signal.SIGCONT)
        assert await asyncio.to_thread(server.stdout.readline) == f"{size}\n"
        assert memory(client) - before < GROWTH
        assert memory(server.pid) - server_before < 2 * GROWTH
        async with OperatorRuntime.beside("stops-reading") as operator:
            assert (await operator.run(CmdRunAction(command="echo well"))).content == "well\n"
    finally:
        os.kill(server.pid, signal.SIGCONT)
        await asyncio.to_thread(server.communicate, "\n", 60)
    assert server.returncode == 0


# --- what overtakes


LATENCY_S = 0.2
"""What was seen of an interrupt, a question and a ping, at the most; five times as much is let
pass.
"""


@pytest.mark.parametrize(
    "place",
    [
        "local",
        pytest.param("debian", marks=pytest.mark.engine),
        pytest.param("busybox", marks=[pytest.mark.engine, pytest.mark.slow]),
    ],
)
async def test_interrupts_and_pings_overtake_bulk_output(
    place: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """While three sessions flood, and a large file goes in and another comes out."""
    large, size = tmp_path / "large", 150 * MB
    large.write_bytes(os.urandom(MB) * (size // MB))
    image = None if place == "local" else request.getfixturevalue(place)
    options = {"backend": "docker", "transport": "exec"} if image else {"backend": "local"}
    async with EventStreamRuntime(image, **options) as runtime:
        inside = (await runtime.exec(["mktemp", "-d"])).stdout.decode().strip()
        await runtime.upload(large, f"{inside}/out")
        for session in ("a", "b", "c", "idle"):
            await runtime.run(CmdRunAction(command="true", session=session))
        floods = [
            asyncio.create_task(runtime.run(CmdRunAction(command="yes", session=session)))
            for session in ("a", "b", "c")
        ]
        crossing = [
            asyncio.create_task(runtime.upload(large, f"{inside}/in")),
            asyncio.create_task(runtime.download(f"{inside}/out", tmp_path / "out")),
        ]
        took = [await timed(ask(runtime)) for _ in range(20)]
        # The client asks this server for a sign of life then, which it waits 2 s for.
        with pytest.raises(ControllerBusy, match="and answers"):
            await EventStreamRuntime.attach(runtime.name, transport="auto").start()
        for session, running in zip(("a", "b", "c"), floods, strict=True):
            took.append(await timed(runtime.run(CmdInterruptAction(session=session))))
            assert (await running).status == "interrupted"
        log.info("at the most %.3f s", max(took))
        assert max(took) < 5 * LATENCY_S
        await asyncio.wait_for(asyncio.gather(*crossing), 60)
        assert (tmp_path / "out").stat().st_size == size
        await runtime.exec(["rm", "-r", inside])


async def ask(runtime: EventStreamRuntime) -> None:
    await runtime.run(CmdPollAction(session="idle", timeout_s=0))


async def timed(call: Awaitable[object]) -> float:
    began = time.monotonic()
    await call
    return time.monotonic() - began
