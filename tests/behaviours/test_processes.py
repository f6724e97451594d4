"""Processes with their streams at hand, as a runtime's users see them; see `docs/processes.md`."""

from __future__ import annotations

import asyncio
import hashlib
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tether_server import (
    ArgumentsTooLong,
    AttachedElsewhere,
    CommandNotFound,
    EventStreamRuntime,
    ExecAction,
    ExecEntry,
    ExecSignalAction,
    InvalidAction,
    InvalidCommand,
    NoSuchProcess,
    NotExecutable,
    OperatorRuntime,
    Process,
    ProcessError,
    SpawnFailed,
    StdinClosed,
    UnknownUser,
    WorkingDirectoryMissing,
)

WINDOW = 512 * 1024
NICENESS = "cut -d' ' -f19 /proc/self/stat"
EVERY_BYTE = bytes(range(256))


async def until(line: bytes, process: Process) -> None:
    async with asyncio.timeout(30):
        while await process.stdout.readline() != line:
            pass


async def output(runtime: EventStreamRuntime, command: str) -> bytes:
    done = await runtime.exec(command)
    assert done.exit_code == 0, done.stderr
    return done.stdout


async def gone(runtime: EventStreamRuntime, pid: int) -> None:
    """Return once it has ended and was collected."""
    wait = f"while kill -0 {pid} 2>/dev/null; do sleep 0.05; done"
    assert (await runtime.exec(wait, timeout_s=30)).exit_code == 0


# --- streams


async def test_a_conversation(runtime: EventStreamRuntime) -> None:
    async with await runtime.spawn(["cat"], stdin=True) as process:
        for n in range(3):
            await process.stdin.write(b"%d\n" % n)
            assert await process.stdout.readline() == b"%d\n" % n
        process.stdin.close()
        assert (await process.stdout.read(), await process.wait()) == (b"", 0)


async def test_both_ways_at_once_exact_and_apart(runtime: EventStreamRuntime) -> None:
    data = EVERY_BYTE * 20_000
    process = await runtime.spawn("tee /dev/stderr; exit 7", stdin=True)
    out, err = await process.communicate(data)
    assert (out == data, err == data, process.exit_code) == (True, True, 7)


async def test_output_comes_while_the_process_runs(runtime: EventStreamRuntime) -> None:
    async with await runtime.spawn("echo one; echo two >&2; exec sleep 1000") as process:
        async with asyncio.timeout(30):
            seen = dict([await anext(pieces := process.merged()), await anext(pieces)])
        assert seen == {"stdout": b"one\n", "stderr": b"two\n"}
        assert process.exit_code is None
    assert process.exit_code == 128 + signal.SIGKILL


async def test_without_input_a_reader_sees_the_end(runtime: EventStreamRuntime) -> None:
    process = await runtime.spawn(["cat"])
    assert await process.wait() == 0
    with pytest.raises(StdinClosed, match="stdin=True"):
        await process.stdin.write(b"x")
    for refused in (process, await runtime.process((await runtime.spawn(["cat"])).id)):
        with pytest.raises(StdinClosed, match="stdin=True"):
            await refused.communicate(b"x")


async def test_input_after_its_end(runtime: EventStreamRuntime) -> None:
    process = await runtime.spawn(["cat"], stdin=True)
    process.stdin.close()
    process.stdin.close()
    with pytest.raises(StdinClosed, match="was sent before"):
        await process.stdin.write(b"x")
    assert await process.wait() == 0


async def test_input_that_nobody_reads(runtime: EventStreamRuntime) -> None:
    process = await runtime.spawn("exec <&-; echo closed; sleep 0.2; exit 3", stdin=True)
    with pytest.raises(StdinClosed) as refused:
        await process.stdin.write(b"x" * 5_000_000)
    assert "stdin=True" not in str(refused.value)
    assert await process.wait() == 3


async def test_a_caller_that_does_not_read_slows_the_process(runtime: EventStreamRuntime) -> None:
    async with await runtime.spawn("seq 1 500000; echo done >&2") as slow:
        assert await output(runtime, "echo the client serves others") == (
            b"the client serves others\n"
        )
        async with asyncio.timeout(30):
            while (entry := await entry_of(runtime, slow)).stdout_bytes < WINDOW:
                await asyncio.sleep(0.02)
        assert entry.stdout_bytes < 2 * WINDOW
        assert entry.exit_code is None
        lines = [line async for line in slow.stdout]
        assert lines == [b"%d\n" % n for n in range(1, 500_001)]
        assert await slow.stderr.read() == b"done\n"


async def entry_of(runtime: EventStreamRuntime, process: Process) -> ExecEntry:
    (entry,) = [one for one in await runtime.processes() if one.id == process.id]
    return entry


async def test_a_stream_that_nobody_reads_holds_up_no_other(runtime: EventStreamRuntime) -> None:
    both = "seq 1 200000 & seq 1 200000 >&2; wait"
    async with await runtime.spawn(both) as process:
        assert len(await process.stderr.read()) == 1_288_895
        assert len(await process.stdout.read()) == 1_288_895


async def test_output_that_is_not_wanted(runtime: EventStreamRuntime) -> None:
    process = await runtime.spawn("seq 1 1000000; echo last >&2")
    process.stdout.discard()
    assert await process.wait() == 0
    assert await process.stderr.read() == b"last\n"
    assert await process.stdout.read() == b""


async def test_all_output_is_there_when_the_end_is_told(runtime: EventStreamRuntime) -> None:
    for n in range(10):
        process = await runtime.spawn(f"seq 1 {n}0000; echo last")
        if n < 7:  # what fits on the way: nobody has to read
            assert await process.wait() == 0
        assert (await process.stdout.read()).endswith(b"last\n")
        assert await process.wait() == 0


# --- the end


@pytest.mark.parametrize("code", [0, 1, 255])
async def test_exit_codes(runtime: EventStreamRuntime, code: int) -> None:
    assert await (await runtime.spawn(f"exit {code}")).wait() == code


async def test_a_signal_reaches_the_whole_group(runtime: EventStreamRuntime) -> None:
    process = await runtime.spawn("sleep 1000 & echo $!; wait")
    child = int(await process.stdout.readline())
    await process.terminate()
    assert (await process.wait(), process.signal) == (128 + signal.SIGTERM, signal.SIGTERM)
    await gone(runtime, child)
    await process.terminate()  # it has ended: nothing happens


async def test_any_signal(runtime: EventStreamRuntime) -> None:
    script = "trap 'echo caught; exit 4' USR1; echo on; while :; do sleep 0.05; done"
    process = await runtime.spawn(script)
    await until(b"on\n", process)
    with pytest.raises(InvalidAction, match="no signal 'SIGNONE'"):
        await process.send_signal("SIGNONE")
    await process.send_signal("usr1")
    assert (await process.stdout.read(), await process.wait()) == (b"caught\n", 4)


async def test_a_process_out_of_time(runtime: EventStreamRuntime) -> None:
    process = await runtime.spawn("echo on; seq 1 1000000; sleep 1000", timeout_s=2)
    assert await process.wait() == 128 + signal.SIGKILL
    assert process.timed_out
    assert (await process.stdout.read()).startswith(b"on\n1\n2\n")


async def test_leaving_the_block_leaves_nothing(runtime: EventStreamRuntime) -> None:
    async with await runtime.spawn("sleep 1000 & echo $! $$; seq 1 1000000; wait") as process:
        pids = (await process.stdout.readline()).split()
    assert process.exit_code == 128 + signal.SIGKILL
    for pid in pids:
        await gone(runtime, int(pid))


# --- how it runs


async def test_folder_variables_mask_and_niceness(runtime: EventStreamRuntime) -> None:
    process = await runtime.spawn(
        f"pwd; echo $A; umask; {NICENESS}", cwd="/dev", env={"A": "b"}, umask=0o27, nice=7
    )
    assert (await process.communicate())[0] == b"/dev\nb\n0027\n7\n"
    done = await runtime.exec(f"umask; {NICENESS}", umask=0o77, nice=3)
    assert done.stdout == b"0077\n3\n"


async def test_user_and_group(runtime: EventStreamRuntime) -> None:
    for options, ids in [
        ({"user": "12345:54321"}, b"12345\n54321\n"),
        ({"user": "12345", "group": "54321"}, b"12345\n54321\n"),
        ({"group": "54321"}, b"0\n54321\n"),
    ]:
        process = await runtime.spawn("id -u; id -g", **options)  # type: ignore[arg-type]
        assert await process.communicate() == (ids, b"")
    done = await runtime.exec("id -g", group="54321")
    assert done.stdout == b"54321\n"


@pytest.mark.parametrize(
    ("command", "options", "kind"),
    [
        (["no-such-program"], {}, CommandNotFound),
        (["/no/such/program"], {}, CommandNotFound),
        (["/etc"], {}, NotExecutable),
        (["true"], {"cwd": "/no/such/folder"}, WorkingDirectoryMissing),
        (["true"], {"cwd": "/proc/self/status"}, WorkingDirectoryMissing),
        (["true"], {"user": "nobody-of-that-name"}, UnknownUser),
        (["true"], {"group": "no-group-of-that-name"}, UnknownUser),
        (["true", "\0"], {}, InvalidCommand),
        (["true", "x" * 200_000], {}, ArgumentsTooLong),
    ],
)
async def test_each_trouble_has_its_error(
    runtime: EventStreamRuntime, command: list[str], options: dict[str, str], kind: type[Exception]
) -> None:
    for tty in (False, True):
        with pytest.raises(kind) as seen:
            await runtime.spawn(command, tty=tty, **options)  # type: ignore[arg-type]
        assert isinstance(seen.value, ProcessError | InvalidCommand)
    with pytest.raises(kind):
        await runtime.exec(command, **options)  # type: ignore[arg-type]


async def test_a_hundred_at_once(runtime: EventStreamRuntime) -> None:
    started = [runtime.spawn(f"cat; exit {n}", stdin=True) for n in range(100)]
    processes = await asyncio.gather(*started)
    ended = await asyncio.gather(
        *(process.communicate(b"%d" % n) for n, process in enumerate(processes))
    )
    assert ended == [(b"%d" % n, b"") for n in range(100)]
    assert [process.exit_code for process in processes] == list(range(100))


# --- on a terminal


async def test_a_terminal_of_a_size(runtime: EventStreamRuntime) -> None:
    script = "stty size; trap 'stty size; exit 3' WINCH; echo on; while :; do sleep 0.05; done"
    process = await runtime.spawn(script, tty=True, size=(33, 101))
    assert await process.stdout.readline() == b"33 101\r\n"
    await until(b"on\r\n", process)
    process.resize(7, 20)
    assert (await process.stdout.read(), await process.wait()) == (b"7 20\r\n", 3)


async def test_a_terminal_carries_every_byte(runtime: EventStreamRuntime) -> None:
    script = "stty raw -echo; echo on; head -c 256 | od -An -v -tx1 | tr -d ' \\n'"
    process = await runtime.spawn(script, tty=True)
    await until(b"on\n", process)
    await process.stdin.write(EVERY_BYTE)
    assert await process.stdout.read() == EVERY_BYTE.hex().encode()


async def test_keys_and_the_end_of_typing(runtime: EventStreamRuntime) -> None:
    script = "trap 'echo caught; exit' INT; stty -echo; echo on; while :; do sleep 0.05; done"
    process = await runtime.spawn(script, tty=True)
    await until(b"on\r\n", process)
    await process.stdin.write(b"\x03")
    assert await process.stdout.read() == b"caught\r\n"
    process = await runtime.spawn("stty -echo; echo on; cat; echo end", tty=True)
    await until(b"on\r\n", process)
    await process.stdin.write(b"half a line")
    process.stdin.close()
    assert await process.stdout.read() == b"half a lineend\r\n"


async def test_a_terminals_last_output_is_there(runtime: EventStreamRuntime) -> None:
    for _ in range(5):
        process = await runtime.spawn("seq 1 30000; echo last", tty=True)
        assert (await process.stdout.read()).endswith(b"\n30000\r\nlast\r\n")
        assert await process.wait() == 0


# --- found again


@pytest_asyncio.fixture(loop_scope="session")
async def other(runtime: EventStreamRuntime) -> AsyncIterator[EventStreamRuntime]:
    """Another way into the same sandbox, as another process has it."""
    async with OperatorRuntime.beside(runtime.name) as operator:
        yield operator


async def test_a_detached_one_is_listed_and_found_again(
    runtime: EventStreamRuntime, other: EventStreamRuntime
) -> None:
    script = "seq 1 200000; read line; echo got $line; exit 5"
    async with await runtime.spawn(script, detach=True, stdin=True) as process:
        pass
    assert process.exit_code is None
    listed = await entry_of(other, process)
    assert (listed.pid, listed.detach, listed.argv) == (process.pid, True, (script,))
    found = await other.process(process.id)
    await found.stdin.write(b"it\n")
    whole = b"".join(b"%d\n" % n for n in range(1, 200_001)) + b"got it\n"
    assert (await found.stdout.read(), await found.wait()) == (whole, 5)
    ended = await entry_of(other, process)
    assert (ended.exit_code, ended.stdout_bytes) == (5, len(whole))
    again = await runtime.process(process.id)
    assert (await again.stdout.read(), await again.wait()) == (whole, 5)


async def test_nobody_slows_a_detached_one(runtime: EventStreamRuntime) -> None:
    process = await runtime.spawn("seq 1 300000", detach=True)
    assert await process.wait() == 0
    assert len(await process.stdout.read()) == 1_988_895


async def test_another_caller_takes_over(
    runtime: EventStreamRuntime, other: EventStreamRuntime
) -> None:
    process = await runtime.spawn(["cat"], stdin=True)
    await process.stdin.write(b"one\n")
    assert await process.stdout.readline() == b"one\n"
    await output(runtime, "true")  # by now the sandbox knows what was taken
    taken = await other.process(process.id)
    with pytest.raises(AttachedElsewhere, match=r"runtime\.process"):  # how to take it back
        await process.stdout.readline()
    assert (await taken.communicate(b"two\n"), taken.exit_code) == ((b"two\n", b""), 0)


async def test_what_was_taken_comes_to_nobody_else(runtime: EventStreamRuntime) -> None:
    process = await runtime.spawn("echo hi; exit 3", id="all-taken")
    assert await process.communicate() == (b"hi\n", b"")
    async with asyncio.timeout(30):  # until the sandbox knows
        while (await (await runtime.process("all-taken")).communicate())[0]:
            pass
    found = await runtime.spawn("echo hi; exit 3", id="all-taken")
    assert (await found.communicate(), found.exit_code) == ((b"", b""), 3)
    script = "seq 1 200000; echo on >&2; read line; echo $line"
    process = await runtime.spawn(script, stdin=True)
    process.stdout.discard()
    assert await process.stderr.readline() == b"on\n"  # by now the sandbox knows
    rest, _ = await (await runtime.process(process.id)).communicate(b"two\n")
    assert rest.endswith(b"two\n")
    assert len(rest) < 2 * WINDOW  # at most what the sandbox held, and what was in the pipe


async def test_one_that_is_not_there(runtime: EventStreamRuntime) -> None:
    with pytest.raises(NoSuchProcess, match="no exec with the id 'nobody'"):
        await runtime.process("nobody")
    with pytest.raises(NoSuchProcess):
        await runtime.run(ExecSignalAction(target_id="nobody"))


async def test_the_same_id_starts_nothing(runtime: EventStreamRuntime) -> None:
    script = "echo $$; read line; exit 6"
    first = await runtime.spawn(script, stdin=True, detach=True, id="the-same")
    pid = await first.stdout.readline()
    again = await runtime.spawn(script, stdin=True, detach=True, id="the-same")
    assert (again.pid, await again.stdout.readline()) == (first.pid, pid)
    again.stdin.close()
    assert await again.wait() == 6


async def test_an_id_is_of_one_process(
    runtime: EventStreamRuntime, other: EventStreamRuntime
) -> None:
    await runtime.run(ExecAction(command="true"), id="of-an-exec")
    await (await runtime.spawn("echo one", id="of-one")).wait()
    for id in ("of-an-exec", "of-one"):
        with pytest.raises(InvalidAction, match=f"{id}' was given to another action"):
            await runtime.spawn("echo other", id=id)
    with pytest.raises(InvalidAction, match="of-one' was given to another action"):
        await other.spawn("echo other", id="of-one")
    assert await (await other.spawn("echo one", id="of-one")).wait() == 0
    with pytest.raises(InvalidAction, match="at most 128 letters"):
        await runtime.spawn(["true"], id="x" * 1000)


# --- cuts


async def test_a_cut_loses_and_repeats_nothing(runtime: EventStreamRuntime) -> None:
    data = bytes(range(251)) * 40_000
    process = await runtime.spawn("cat; echo done >&2", stdin=True)

    async def write() -> None:
        for at in range(0, len(data), 100_000):
            await process.stdin.write(data[at : at + 100_000])
        process.stdin.close()

    async def read() -> tuple[str, int]:
        seen, count, cuts = hashlib.sha256(), 0, 0
        while piece := await process.stdout.read(70_000):
            seen.update(piece)
            count += len(piece)
            if count > (cuts + 1) * 1_500_000:
                cuts += 1
                runtime.cut_connection()
        return seen.hexdigest(), cuts

    (digest, cuts), _ = await asyncio.gather(read(), write())
    assert (digest, cuts) == (hashlib.sha256(data).hexdigest(), 6)
    assert (await process.stderr.read(), await process.wait()) == (b"done\n", 0)


async def test_an_end_during_a_cut_is_told(runtime: EventStreamRuntime) -> None:
    for n in range(10):
        process = await runtime.spawn(f"read line; seq 1 {n}000; exit {n}", stdin=True)
        await process.stdin.write(b"go\n")
        runtime.cut_connection()
        assert len((await process.stdout.read()).split()) == n * 1000
        assert await process.wait() == n


async def test_a_terminal_survives_a_cut(runtime: EventStreamRuntime) -> None:
    process = await runtime.spawn("stty -echo; echo on; read a; stty size; echo $a", tty=True)
    await until(b"on\r\n", process)
    process.resize(11, 22)
    runtime.cut_connection()
    await process.stdin.write(b"typed\r")
    assert await process.stdout.read() == b"11 22\r\ntyped\r\n"


async def test_a_niceness_that_is_not_allowed(runtime: EventStreamRuntime) -> None:
    held = await runtime.exec("cat /proc/self/status | grep CapEff")
    if int(held.stdout.split()[1], 16) & 1 << 23:
        assert (await runtime.exec(NICENESS, nice=-3)).stdout == b"-3\n"
    else:
        with pytest.raises(SpawnFailed, match="niceness -3"):
            await runtime.spawn(["true"], nice=-3)
