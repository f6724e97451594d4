"""Processes without a terminal: exact output, ends of every kind, errors told apart."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tether_runtime_client.proctree import read_process
from tether_runtime_client.protocol import errors as e
from tether_runtime_client.protocol.actions import ExecAction, ExecSignalAction
from tether_runtime_client.protocol.events import ExecOutputDelta, OutputOmitted
from tether_runtime_client.protocol.limits import DELTA_SIZE, EXEC_INLINE_LIMIT
from tether_runtime_client.settings import ClientSettings
from tether_server import EventStreamRuntime

from .conftest import Desk, execs_of

MIXED = """
import os, sys, random
chance = random.Random(int(sys.argv[1]))
out, err = chance.randbytes(int(sys.argv[2])), chance.randbytes(int(sys.argv[3]))
def send(fd, data):
    while data:
        data = data[os.write(fd, data[:100_000]):]
        yield
pumps = [send(1, out), send(2, err)]
while pumps:
    for pump in list(pumps):
        if next(pump, "end") == "end":
            pumps.remove(pump)
"""


IN_A_ROW = """
import sys, random
chance = random.Random(int(sys.argv[1]))
for file, size in (sys.stdout, sys.argv[2]), (sys.stderr, sys.argv[3]):
    file.buffer.write(chance.randbytes(int(size)))
    file.buffer.flush()
"""


def mixed(seed: int, out: int, err: int) -> tuple[list[str], bytes, bytes]:
    """A program that writes known bytes to both streams in turn."""
    import random

    chance = random.Random(seed)
    argv = ["python3", "-c", MIXED, str(seed), str(out), str(err)]
    return argv, chance.randbytes(out), chance.randbytes(err)


def streamed(desk: Desk, stream: str) -> bytes:
    """All deltas of one stream, checked to be in order, without gaps and of a bounded size."""
    data = b""
    for event in desk.events:
        if isinstance(event, ExecOutputDelta) and event.stream == stream:
            assert event.offset == len(data)
            assert 0 < len(event.data) <= DELTA_SIZE
            data += event.data
    return data


def contents(path: str | None) -> bytes:
    assert path is not None
    return Path(path).read_bytes()


def is_running(pid: int) -> bool:
    process = read_process(pid)
    return process is not None and process.alive


async def test_ten_megabytes_on_both_streams_apart(desk: Desk, settings: ClientSettings) -> None:
    argv, out, err = mixed(1, 10_000_000, 10_000_001)
    seen = await execs_of(settings).handle(ExecAction(argv=tuple(argv)), desk.context())
    assert (seen.exit_code, seen.stdout_bytes, seen.stderr_bytes) == (0, len(out), len(err))
    assert streamed(desk, "stdout") == out
    assert streamed(desk, "stderr") == err
    assert (seen.stdout, seen.stderr) == (out[:EXEC_INLINE_LIMIT], err[:EXEC_INLINE_LIMIT])
    assert seen.stdout_path is not None
    assert contents(seen.stdout_path) == out
    assert contents(seen.stderr_path) == err
    assert os.stat(seen.stdout_path).st_mode & 0o777 == 0o600


@pytest.mark.parametrize("size", [0, 1, EXEC_INLINE_LIMIT - 1, EXEC_INLINE_LIMIT])
async def test_what_fits_is_in_the_observation_alone(
    desk: Desk, settings: ClientSettings, size: int
) -> None:
    argv, out, err = mixed(size, size, 3)
    seen = await execs_of(settings).handle(ExecAction(argv=tuple(argv)), desk.context())
    assert (seen.stdout, seen.stderr) == (out, err)
    assert (seen.stdout_path, seen.stderr_path) == (None, None)
    assert streamed(desk, "stdout") == out
    assert not (settings.state / "output").exists()


async def test_one_byte_too_many_is_in_a_file(desk: Desk, settings: ClientSettings) -> None:
    argv, out, _ = mixed(5, EXEC_INLINE_LIMIT + 1, 0)
    seen = await execs_of(settings).handle(ExecAction(argv=tuple(argv)), desk.context("b.2"))
    assert seen.stdout_path == str(settings.state / "output" / "b.2.stdout")
    assert contents(seen.stdout_path) == out


async def test_small_writes_make_few_events(desk: Desk, settings: ClientSettings) -> None:
    action = ExecAction(command="i=0; while [ $i -lt 2000 ]; do echo $i; i=$((i+1)); done")
    seen = await execs_of(settings).handle(action, desk.context())
    assert seen.stdout == b"".join(b"%d\n" % n for n in range(2000))
    assert len(desk.events) < 40


async def test_output_comes_while_the_process_runs(desk: Desk, settings: ClientSettings) -> None:
    execs = execs_of(settings)
    action = ExecAction(command="echo ready; cat /dev/zero | head -c 10 >&2; sleep 987")
    task = asyncio.create_task(execs.handle(action, desk.context()))
    await desk.until(lambda: streamed(desk, "stdout"))
    assert streamed(desk, "stdout") == b"ready\n"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("code", [0, 1, 7, 126, 127, 128, 255])
async def test_exit_codes(desk: Desk, settings: ClientSettings, code: int) -> None:
    seen = await execs_of(settings).handle(ExecAction(command=f"exit {code}"), desk.context())
    assert (seen.exit_code, seen.signal, seen.timed_out) == (code, None, False)


@pytest.mark.parametrize(("name", "number"), [("TERM", 15), ("KILL", 9), ("SEGV", 11)])
async def test_an_end_by_signal(
    desk: Desk, settings: ClientSettings, name: str, number: int
) -> None:
    seen = await execs_of(settings).handle(ExecAction(command=f"kill -{name} $$"), desk.context())
    assert (seen.exit_code, seen.signal) == (128 + number, number)


async def test_five_megabytes_of_input(desk: Desk, settings: ClientSettings) -> None:
    data = os.urandom(5_000_000)
    action = ExecAction(argv=("sha256sum",), stdin=data)
    seen = await execs_of(settings).handle(action, desk.context())
    assert seen.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()


async def test_input_that_nobody_reads_is_no_error(desk: Desk, settings: ClientSettings) -> None:
    action = ExecAction(argv=("head", "-c", "3"), stdin=b"abcdef" * 1_000_000)
    seen = await execs_of(settings).handle(action, desk.context())
    assert (seen.exit_code, seen.stdout) == (0, b"abc")


async def test_without_input_there_is_an_end_of_file(desk: Desk, settings: ClientSettings) -> None:
    seen = await execs_of(settings).handle(ExecAction(argv=("cat",), timeout_s=10), desk.context())
    assert (seen.exit_code, seen.stdout, seen.timed_out) == (0, b"", False)


async def test_a_timeout_kills_the_whole_session(desk: Desk, settings: ClientSettings) -> None:
    command = "echo part; sleep 987 & echo $! >&2; set -m; sleep 987 & echo $! >&2; wait"
    started = time.monotonic()
    action = ExecAction(argv=("bash", "-c", command), timeout_s=0.5)
    seen = await execs_of(settings).handle(action, desk.context())
    assert 0.5 <= time.monotonic() - started < 5
    assert (seen.timed_out, seen.exit_code, seen.signal) == (True, 137, 9)
    assert seen.stdout == b"part\n"
    pids = [int(line) for line in seen.stderr.split()]
    assert len(pids) == 2
    async with asyncio.timeout(5):  # a killed orphan takes a moment to be gone
        while any(is_running(pid) for pid in (seen.pid, *pids)):
            await asyncio.sleep(0.01)


async def test_what_a_process_leaves_behind_goes_on(desk: Desk, settings: ClientSettings) -> None:
    done = settings.run_dir / "done"
    os.mkfifo(done)
    command = f"(sleep 0.3; echo late; echo alive > {done}) & echo now"
    seen = await execs_of(settings).handle(ExecAction(command=command), desk.context())
    assert seen.stdout == b"now\n"
    told = await asyncio.to_thread(done.read_text)
    assert told == "alive\n", "writing late killed it"
    assert streamed(desk, "stdout") == b"now\n"


async def test_cancelling_kills_and_keeps_the_output(desk: Desk, settings: ClientSettings) -> None:
    action = ExecAction(command="echo $$; trap '' TERM; sleep 987 & wait")
    task = asyncio.create_task(execs_of(settings).handle(action, desk.context()))
    await desk.until(lambda: streamed(desk, "stdout"))
    pid = int(streamed(desk, "stdout"))
    assert is_running(pid)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not is_running(pid)
    assert os.listdir(settings.state / "sessions") == []


async def test_signals_reach_the_group(desk: Desk, settings: ClientSettings) -> None:
    execs = execs_of(settings)
    command = "trap 'echo got; exit 9' USR1; echo up; while :; do sleep 0.05; done"
    task = asyncio.create_task(execs.handle(ExecAction(command=command), desk.context("x1")))
    await desk.until(lambda: streamed(desk, "stdout"))
    assert len(os.listdir(settings.state / "sessions")) == 1
    await execs.signal(ExecSignalAction(target_id="x1", signal="SIGUSR1"), desk.context())
    seen = await task
    assert (seen.exit_code, seen.stdout) == (9, b"up\ngot\n")
    assert os.listdir(settings.state / "sessions") == []
    with pytest.raises(e.NoSuchProcess):
        await execs.signal(ExecSignalAction(target_id="x1"), desk.context())


async def test_a_signal_that_does_not_exist(desk: Desk, settings: ClientSettings) -> None:
    with pytest.raises(e.InvalidAction, match="SIGNOTHING"):
        await execs_of(settings).signal(
            ExecSignalAction(target_id="x", signal="SIGNOTHING"), desk.context()
        )


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"argv": ("no-such-program",)}, e.CommandNotFound),
        ({"argv": ("/no/such/program",)}, e.CommandNotFound),
        ({"argv": ("/etc/passwd",)}, e.NotExecutable),
        ({"argv": ("/etc",)}, e.NotExecutable),
        ({"argv": ("true",), "cwd": "/no/such/folder"}, e.WorkingDirectoryMissing),
        ({"argv": ("true",), "cwd": "/etc/passwd"}, e.WorkingDirectoryMissing),
        ({"argv": ("true",), "user": "nobody-of-that-name"}, e.UnknownUser),
        ({"argv": ("echo", "a\0b")}, e.InvalidCommand),
        ({"command": "echo a\0b"}, e.InvalidCommand),
        ({"argv": ("echo", "x" * 200_000)}, e.ArgumentsTooLong),
        ({"argv": ("echo", *["x" * 1000] * 4000)}, e.ArgumentsTooLong),
    ],
)
async def test_why_it_cannot_start(
    desk: Desk, settings: ClientSettings, fields: dict[str, Any], error: type[e.TetherError]
) -> None:
    with pytest.raises(error) as caught:
        await execs_of(settings).handle(ExecAction(**fields), desk.context())
    assert type(caught.value) is error
    assert desk.events == []
    assert e.error_from_code(caught.value.code, "m").code == error.code


async def test_environment_directory_and_user(desk: Desk, settings: ClientSettings) -> None:
    action = ExecAction(command='echo "$A $HOME $PWD $(id -u)"', env={"A": "1"}, cwd="/usr")
    seen = await execs_of(settings).handle(action, desk.context())
    assert seen.stdout.decode() == f"1 {os.environ['HOME']} /usr {os.geteuid()}\n"
    if os.geteuid() == 0:
        action = ExecAction(command="id -u; id -g; echo $HOME", user="nobody", cwd="/")
        seen = await execs_of(settings).handle(action, desk.context())
        assert seen.stdout == b"65534\n65534\n/nonexistent\n"


async def test_a_full_disk_loses_the_file_and_nothing_else(
    desk: Desk, settings: ClientSettings, small_disk: Callable[[Path], Path]
) -> None:
    disk = small_disk(settings.state / "output")
    argv, out, err = mixed(9, 3_000_000, 300_000)
    argv[2] = IN_A_ROW  # so the disk was full, and has room again, before the first of stderr
    seen = await execs_of(settings).handle(ExecAction(argv=tuple(argv)), desk.context())
    assert (seen.exit_code, seen.stdout_bytes) == (0, 3_000_000)
    assert seen.stdout_path is None
    assert seen.stdout == out[:EXEC_INLINE_LIMIT]
    assert streamed(desk, "stdout") == out
    assert [path.name for path in disk.iterdir()] == ["a1.stderr"]
    assert (disk / "a1.stderr").read_bytes() == err


async def test_a_registry_that_cannot_be_written_stops_nothing(
    desk: Desk, settings: ClientSettings
) -> None:
    (settings.state / "sessions").write_text("in the way")
    with pytest.raises(NotADirectoryError):
        os.listdir(settings.state / "sessions")
    seen = await execs_of(settings).handle(ExecAction(command="exit 4"), desk.context())
    assert seen.exit_code == 4


async def test_a_hundred_at_once(state_dir: Path) -> None:
    async with EventStreamRuntime(None, backend="local") as runtime:
        runs = (runtime.exec(f"sleep 0.2; echo {n}; exit {n}") for n in range(100))
        started = time.monotonic()
        seen = await asyncio.gather(*runs)
        assert time.monotonic() - started < 15
    assert [(s.exit_code, s.stdout) for s in seen] == [(n, b"%d\n" % n) for n in range(100)]


@pytest.mark.parametrize("limit", [0, 100, 300_000, 400_000])
async def test_what_is_beyond_the_limit_comes_in_no_event(
    limit: int, desk: Desk, settings: ClientSettings
) -> None:
    argv, out, err = mixed(4, 400_000, 5)
    action = ExecAction(argv=tuple(argv), event_limit=limit)
    seen = await execs_of(settings).handle(action, desk.context())
    assert streamed(desk, "stdout") == out[:limit]
    assert streamed(desk, "stderr") == err[:limit]
    assert contents(seen.stdout_path) == out
    told = {event.stream: event for event in desk.events if isinstance(event, OutputOmitted)}
    assert told.keys() == {"stdout", "stderr"} if not limit else told.keys() <= {"stdout"}
    for event in told.values():
        assert event.from_offset == limit
    if limit < len(out):
        assert (told["stdout"].to_offset, told["stdout"].path) == (len(out), seen.stdout_path)


async def test_whole_output_through_a_runtime(state_dir: Path) -> None:
    argv, out, err = mixed(3, 10_000_000, 7_000_000)
    async with EventStreamRuntime(None, backend="local") as runtime:
        seen = await runtime.exec(argv)
        assert (seen.stdout, seen.stderr, seen.exit_code) == (out, err, 0)
        with pytest.raises(e.CommandNotFound):
            await runtime.exec(["no-such-program"])
        late = await runtime.exec("echo early; sleep 987", timeout_s=0.5)
        assert (late.timed_out, late.stdout) == (True, b"early\n")


async def test_a_running_exec_is_signalled_through_a_runtime(state_dir: Path) -> None:
    async with EventStreamRuntime(None, backend="local") as runtime:
        action = ExecAction(command="echo up; sleep 987")
        codes = []
        async for event in runtime.stream(action, id="victim"):
            if isinstance(event, ExecOutputDelta):
                await runtime.run(ExecSignalAction(target_id="victim", signal="SIGINT"))
            else:
                codes.append(event)
    assert [(code.exit_code, code.signal) for code in codes] == [(130, 2)]
