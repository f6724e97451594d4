"""Handles on processes over the deaths of servers and clients."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from tether_server import (
    ActionLost,
    ClientStarted,
    EventStreamRuntime,
    ExecAction,
    InvalidAction,
    NoSuchProcess,
    OperatorRuntime,
    RuntimeClosed,
    StdinClosed,
)
from tether_server.process import signal_name

DIES = """
import os, signal
from tether_server import SyncEventStreamRuntime
runtime = SyncEventStreamRuntime(backend="local", name="left", keep=True)
runtime.start()
detached = runtime.spawn("read x; seq 1 100000; echo got $x; exit 3", stdin=True, detach=True)
held = runtime.spawn("seq 1 400000; exit 4")
taken = 0
while taken < 100000:
    taken += len(held.stdout.read(100000 - taken))
runtime.exec("true")
print(detached.id, held.id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


async def test_a_killed_server_loses_nothing() -> None:
    died = subprocess.run([sys.executable, "-c", DIES], capture_output=True, timeout=60)
    assert died.returncode == -signal.SIGKILL, died.stderr
    detached, held = died.stdout.decode().split()
    numbers = b"".join(b"%d\n" % n for n in range(1, 400_001))
    async with EventStreamRuntime.attach("left") as runtime:
        try:
            listed = {entry.id: entry for entry in await runtime.processes()}
            assert listed[detached].detach
            assert not listed[held].detach
            one = await runtime.process(detached)
            await one.stdin.write(b"it\n")
            assert await one.stdout.read() == numbers[: numbers.index(b"100001\n")] + b"got it\n"
            assert await one.wait() == 3
            other = await runtime.process(held)
            rest = await other.stdout.read()
            assert numbers.endswith(rest)
            assert len(numbers) - 100_000 <= len(rest) <= len(numbers) - 100_000 + 128 * 1024
            assert await other.wait() == 4
        finally:
            await runtime.close(keep=False)


async def test_a_client_that_dies_is_told() -> None:
    async with EventStreamRuntime(backend="local") as runtime:
        process = await runtime.spawn("echo on; exec sleep 1000", stdin=True)
        other = await runtime.process((await runtime.spawn("sleep 1000")).id)
        assert await process.stdout.readline() == b"on\n"
        started = [e for e in runtime.events.since(0) if isinstance(e, ClientStarted)]
        os.kill(started[-1].pid, signal.SIGKILL)
        with pytest.raises(ActionLost):
            await process.wait()
        with pytest.raises(ActionLost):
            await process.stdout.read()
        with pytest.raises(ActionLost):
            await process.stdin.write(b"x")
        with pytest.raises((ActionLost, NoSuchProcess)):
            await other.wait()
        again = await runtime.spawn("echo again")
        assert await again.communicate() == (b"again\n", b"")


async def test_closing_the_runtime_ends_the_handles() -> None:
    async with EventStreamRuntime(backend="local") as runtime:
        process = await runtime.spawn(["sleep", "1000"], stdin=True)
        waiting = asyncio.create_task(process.wait())
        reading = asyncio.create_task(process.stdout.read())
        await asyncio.sleep(0)
    for task in (waiting, reading):
        with pytest.raises(RuntimeClosed):
            await task
    with pytest.raises(RuntimeClosed):
        await process.stdin.write(b"x")
    await process.close()


async def test_a_handle_that_was_closed() -> None:
    async with EventStreamRuntime(backend="local") as runtime:
        process = await runtime.spawn("read x; echo got $x", stdin=True)
        await process.close()
        await process.close()
        with pytest.raises(RuntimeClosed, match="handle"):
            await process.wait()
        found = await runtime.process(process.id)
        assert await found.communicate(b"it\n") == (b"got it\n", b"")
        with pytest.raises(StdinClosed):
            await found.stdin.write(b"more")


async def test_a_spawn_that_is_given_up_leaves_nothing() -> None:
    async with EventStreamRuntime(backend="local") as runtime:
        spawning = asyncio.create_task(runtime.spawn(["sleep", "1000"]))
        await asyncio.sleep(0)
        spawning.cancel()
        with pytest.raises(asyncio.CancelledError):
            await spawning
        await runtime.run(ExecAction(command="true"))
        async with asyncio.timeout(30):
            while (await runtime.processes())[0].exit_code != 128 + signal.SIGKILL:
                await asyncio.sleep(0.02)


async def test_conversations_of_many_callers_stay_apart() -> None:
    async with EventStreamRuntime(backend="local") as runtime:

        async def talk(n: int) -> bytes:
            async with await runtime.spawn(["cat"], stdin=True) as process:
                for turn in range(20):
                    await process.stdin.write(b"%d %d\n" % (n, turn))
                    assert await process.stdout.readline() == b"%d %d\n" % (n, turn)
                process.stdin.close()
                return await process.stdout.read()

        assert set(await asyncio.gather(*(talk(n) for n in range(30)))) == {b""}


async def test_an_operators_process_survives_cuts() -> None:
    async with (
        EventStreamRuntime(backend="local") as runtime,
        OperatorRuntime.beside(runtime.name) as operator,
    ):
        process = await operator.spawn("cat; exit 3", stdin=True)
        for turn in range(10):
            await process.stdin.write(b"%d\n" % turn)
            operator.cut_connection()
            assert await process.stdout.readline() == b"%d\n" % turn
        process.stdin.close()
        operator.cut_connection()
        assert (await process.stdout.read(), await process.wait()) == (b"", 3)


@pytest.mark.parametrize("which", [signal.SIGTERM, 15, "SIGTERM", "term"])
def test_a_signal_has_a_number_and_a_name(which: int | str) -> None:
    assert signal_name(which) == "SIGTERM"


@pytest.mark.parametrize("which", [0, 999, "", "SIG", "15"])
def test_what_is_no_signal(which: int | str) -> None:
    with pytest.raises(InvalidAction, match="SIGTERM"):
        signal_name(which)
