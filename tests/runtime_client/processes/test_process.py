"""A running process: output in whole and in time, input, signals, ends."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from tether_runtime_client.processes import PIPE, ExitStatus, Process, start_process
from tether_runtime_client.proctree import descendants, read_process, snapshot


class Watched:
    """A process with its output, and a way to wait for a piece of it."""

    def __init__(self, command: Any, **options: Any) -> None:
        self.output = {"stdout": bytearray(), "stderr": bytearray()}
        self._news = asyncio.Event()
        self.process = start_process(command, self._take, **options)

    def _take(self, stream: str, data: memoryview) -> None:
        self.output[stream] += data
        self._news.set()

    @property
    def out(self) -> bytes:
        return bytes(self.output["stdout"])

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def wait(self) -> ExitStatus:
        async with asyncio.timeout(20):
            return await self.process.wait()


@pytest_asyncio.fixture
async def start() -> AsyncIterator[type[Watched]]:
    started: list[Process] = []

    class Tracked(Watched):
        def __init__(self, command: Any, **options: Any) -> None:
            super().__init__(command, **options)
            started.append(self.process)

    yield Tracked
    for process in started:
        process.kill()
        process.close()


@pytest.fixture(params=["pidfd", "thread"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to learn of the end."""
    if request.param == "thread":

        def refuse(pid: int) -> int:
            raise OSError(38, "Function not implemented")

        monkeypatch.setattr(os, "pidfd_open", refuse)
    return str(request.param)


def collect(pid: int) -> None:
    os.waitpid(pid, 0)


# Ends


async def test_codes_of_many_at_once(start: type[Watched], way: str) -> None:
    running = [start(f"echo {number}; exit {number}") for number in range(100)]
    for number, watched in enumerate(running):
        assert await watched.wait() == ExitStatus(number)
        assert watched.out == f"{number}\n".encode()


async def test_wait_again_and_from_many(start: type[Watched], way: str) -> None:
    watched = start("exit 5")
    waits = [asyncio.create_task(watched.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    waits[0].cancel()
    assert await asyncio.gather(*waits[1:]) == [ExitStatus(5)] * 2
    assert await watched.wait() == watched.process.status == ExitStatus(5)


async def test_status_while_running(start: type[Watched]) -> None:
    watched = start(["sleep", "9"])
    assert watched.process.status is None
    watched.process.kill()
    assert await watched.wait() == ExitStatus(None, signal.SIGKILL)


async def test_other_children_are_left_alone(start: type[Watched]) -> None:
    other = await asyncio.create_subprocess_exec("sh", "-c", "exit 77")
    assert await start("exit 3").wait() == ExitStatus(3)
    assert await other.wait() == 77


async def test_collected_by_something_else(start: type[Watched], way: str, caplog: Any) -> None:
    """The blocked loop is what makes this certain: the stranger is always first."""
    watched = start(["true"])
    collect(watched.process.pid)
    status = await watched.wait()
    assert (status, status.exit_code) == (ExitStatus(None, None), 255)
    assert "was collected by something else" in caplog.text


async def test_no_zombie_and_no_descriptor_is_left(start: type[Watched], way: str) -> None:
    await start("true").wait()
    before = len(os.listdir("/proc/self/fd"))
    others = zombies()  # what other tests of this process may have left
    for _ in range(20):
        await start("echo out; echo err >&2; cat", stdin=b"in").wait()
    assert len(os.listdir("/proc/self/fd")) == before
    assert zombies() <= others


def zombies() -> set[int]:
    return {p.pid for p in descendants([os.getpid()], snapshot()) if not p.alive}


# Output


async def test_binary_output_is_exact(start: type[Watched]) -> None:
    data = bytes(range(256)) * 4096
    watched = start("cat; head -c 1000 /dev/zero >&2", stdin=data)
    assert await watched.wait() == ExitStatus(0)
    assert watched.out == data
    assert watched.output["stderr"] == b"\0" * 1000


async def test_last_output_comes_before_the_end(start: type[Watched]) -> None:
    for _ in range(200):
        watched = start("printf tail; printf e >&2; exit 1")
        await watched.wait()
        assert (watched.out, watched.output["stderr"]) == (b"tail", b"e")


async def test_fifty_megabytes(start: type[Watched]) -> None:
    count = 0

    def take(stream: str, data: memoryview) -> None:
        nonlocal count
        count += len(data)

    process = start_process(["head", "-c", "50000000", "/dev/zero"], take)
    assert await process.wait() == ExitStatus(0)
    assert count == 50_000_000


async def test_child_in_the_background_does_not_hold_up_the_end(start: type[Watched]) -> None:
    watched = start("sleep 987 & echo started")
    began = time.monotonic()
    assert await watched.wait() == ExitStatus(0)
    assert time.monotonic() - began < 5
    assert watched.out == b"started\n"


async def test_endless_writer_in_the_background_does_not_hold_up_the_end(
    start: type[Watched],
) -> None:
    watched = start("yes & sleep 0.1; echo end >&2")
    assert await watched.wait() == ExitStatus(0)
    assert watched.output["stderr"] == b"end\n"
    size = len(watched.out)
    await asyncio.sleep(0.05)
    assert len(watched.out) == size
    assert watched.process.kill()


async def test_late_output_goes_to_its_own_callback(start: type[Watched]) -> None:
    late = asyncio.get_running_loop().create_future()
    watched = start(
        "exec 3<&0; (read go <&3; echo late) & echo early",
        stdin=PIPE,
        on_late_output=lambda stream, data: late.set_result((stream, bytes(data))),
    )
    await watched.until(lambda: watched.out == b"early\n")
    await watched.wait()  # gives the one left behind end of file, which ends its `read`
    assert await asyncio.wait_for(late, 5) == ("stdout", b"late\n")
    assert watched.out == b"early\n"


async def test_writer_left_behind_is_not_killed_by_sigpipe(start: type[Watched]) -> None:
    watched = start("(sleep 0.2; echo late; sleep 987) & echo $!")
    await watched.wait()
    await asyncio.sleep(0.5)
    left = read_process(int(watched.out))
    assert left
    assert left.alive


async def test_closed_outputs_are_no_end(start: type[Watched]) -> None:
    watched = start("echo x; exec >&- 2>&-; sleep 0.2; exit 9")
    assert await watched.wait() == ExitStatus(9)
    assert watched.out == b"x\n"


async def test_paused_reading_holds_the_process_up(start: type[Watched]) -> None:
    watched = start(["head", "-c", "8000000", "/dev/zero"])
    watched.process.pause_reading()
    watched.process.pause_reading()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(watched.process.wait(), 0.3)
    assert len(watched.out) == 0
    watched.process.resume_reading()
    watched.process.resume_reading()
    assert await watched.wait() == ExitStatus(0)
    assert len(watched.out) == 8_000_000


async def test_pause_at_the_end_keeps_the_last_output(start: type[Watched]) -> None:
    watched = start("echo last")
    watched.process.pause_reading()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(watched.process.wait(), 0.3)
    watched.process.resume_reading()
    await watched.wait()
    assert watched.out == b"last\n"


async def test_pause_within_the_callback(start: type[Watched]) -> None:
    sizes: list[int] = []
    process: Process

    def take(stream: str, data: memoryview) -> None:
        sizes.append(len(data))
        process.pause_reading()
        asyncio.get_running_loop().call_later(0.001, process.resume_reading)

    process = start_process(["head", "-c", "3000000", "/dev/zero"], take)
    await asyncio.wait_for(process.wait(), 10)
    assert sum(sizes) == 3_000_000


async def test_error_in_the_callback_is_reported_and_the_end_comes(caplog: Any) -> None:
    def take(stream: str, data: memoryview) -> None:
        raise RuntimeError("a bug")

    problems: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, about: problems.append(about))
    process = start_process("echo x; exit 4", take)
    assert await asyncio.wait_for(process.wait(), 5) == ExitStatus(4)
    assert str(problems[0]["exception"]) == "a bug"


# Input


async def test_input_streamed_and_closed(start: type[Watched]) -> None:
    watched = start(["cat"], stdin=PIPE)
    await watched.process.write_stdin(b"one\n")
    await watched.until(lambda: watched.out == b"one\n")
    await watched.process.write_stdin(b"two\n")
    watched.process.close_stdin()
    watched.process.close_stdin()
    assert await watched.wait() == ExitStatus(0)
    assert watched.out == b"one\ntwo\n"


async def test_write_waits_for_the_reader(start: type[Watched]) -> None:
    watched = start("sleep 0.3; wc -c", stdin=PIPE)
    began = time.monotonic()
    await watched.process.write_stdin(b"x" * 4_000_000)
    assert time.monotonic() - began > 0.2
    watched.process.close_stdin()
    await watched.wait()
    assert watched.out.strip() == b"4000000"


async def test_write_to_one_that_no_longer_reads(start: type[Watched]) -> None:
    watched = start("exec <&-; echo closed; sleep 9", stdin=PIPE)
    await watched.until(lambda: watched.out == b"closed\n")
    for _ in range(2):
        with pytest.raises(BrokenPipeError):
            await watched.process.write_stdin(b"x" * 4_000_000)


async def test_write_when_the_process_ends_meanwhile(start: type[Watched]) -> None:
    watched = start(["sleep", "0.2"], stdin=PIPE)
    with pytest.raises(BrokenPipeError):
        await asyncio.wait_for(watched.process.write_stdin(b"x" * 4_000_000), 5)


async def test_write_without_a_pipe(start: type[Watched]) -> None:
    watched = start(["true"])
    watched.process.close_stdin()
    with pytest.raises(BrokenPipeError, match="without a pipe"):
        await watched.process.write_stdin(b"x")


async def test_two_writes_at_once_are_refused(start: type[Watched]) -> None:
    watched = start(["sleep", "9"], stdin=PIPE)
    first = asyncio.create_task(watched.process.write_stdin(b"x" * 4_000_000))
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="still under way"):
        await watched.process.write_stdin(b"y")
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    watched.process.kill()


# Signals


async def test_signal_reaches_the_whole_group(start: type[Watched]) -> None:
    watched = start("sleep 987 & echo $!; wait")
    await watched.until(lambda: b"\n" in watched.out)
    assert watched.process.signal(signal.SIGTERM)
    assert await watched.wait() == ExitStatus(None, signal.SIGTERM)
    await _gone(int(watched.out))


async def test_signal_after_the_end_reaches_what_is_left(start: type[Watched]) -> None:
    watched = start("sleep 987 & echo $!")
    await watched.wait()
    assert watched.process.kill()
    await _gone(int(watched.out))
    assert not watched.process.kill()


async def test_signal_after_the_end_does_not_hit_a_stranger(start: type[Watched]) -> None:
    watched = start(["true"])
    await watched.wait()
    await asyncio.sleep(0.03)  # start times are counted in hundredths of a second
    stranger = start(["sleep", "9"])
    watched.process.pid = stranger.process.pid  # as if the kernel had given the number again
    assert not watched.process.kill()
    assert stranger.process.status is None


async def _gone(pid: int) -> None:
    async with asyncio.timeout(5):
        while (process := read_process(pid)) and process.alive:
            await asyncio.to_thread(time.sleep, 0.005)


async def test_close_gives_up_who_waits(start: type[Watched], way: str) -> None:
    watched = start(["sleep", "987"])
    wait = asyncio.create_task(watched.wait())
    await asyncio.sleep(0)
    watched.process.kill()
    watched.process.close()
    watched.process.close()
    with pytest.raises(asyncio.CancelledError):
        await wait
    collect(watched.process.pid)
