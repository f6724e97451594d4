from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tether_runtime_client.notices import OUTPUT_BYTES, Notices
from tether_runtime_client.protocol.events import EntrypointEnded, EntrypointStarted, Event


class Pipe:
    """The supervisor's end, and what the client made of it."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        self.told: list[Event] = []

    def notices(self) -> Notices:
        return Notices(self.reading, self.told.append)

    def write(self, text: str) -> None:
        os.write(self.writing, text.encode())

    async def until(self, count: int) -> list[Event]:
        async with asyncio.timeout(5):
            while len(self.told) < count:
                await asyncio.sleep(0)
        return self.told


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    os.close(pipe.reading)
    os.close(pipe.writing)


async def test_a_life_from_start_to_end(pipe: Pipe, tmp_path: Path) -> None:
    log = tmp_path / "a log"
    log.write_bytes(b"x" * OUTPUT_BYTES + b"50%\r100%\n\x1b[1mbold\x1b[0m\n")
    pipe.write(f"beside started pid=7 log={log}\n")
    notices = pipe.notices()
    notices.start()
    await pipe.until(1)
    pipe.write("beside ended pid=7 co")
    await asyncio.sleep(0.01)
    pipe.write(f"de=3 log={log}\n")
    started, ended = await pipe.until(2)
    assert started == EntrypointStarted(pid=7, output_path=str(log))
    assert isinstance(ended, EntrypointEnded)
    assert (ended.pid, ended.exit_code, ended.signal) == (7, 3, None)
    assert (ended.reason, ended.output_path) == ("exit code 3", str(log))
    assert ended.output.endswith("x100%\nbold\n") or ended.output.endswith("100%\nbold\n")
    assert len(ended.output) <= OUTPUT_BYTES
    notices.close()
    notices.close()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "beside ended pid=7 signal=9",
            EntrypointEnded(pid=7, exit_code=137, signal=9, reason="signal 9 (SIGKILL)"),
        ),
        (
            "beside ended pid=7 signal=40",
            EntrypointEnded(pid=7, exit_code=168, signal=40, reason="signal 40"),
        ),
        (
            "beside failed errno=2",
            EntrypointEnded(reason="it could not be started: No such file or directory"),
        ),
        (
            "beside ended pid=7 code=0 log=/no/such/log",
            EntrypointEnded(pid=7, exit_code=0, reason="exit code 0", output_path="/no/such/log"),
        ),
    ],
)
async def test_other_ends(pipe: Pipe, line: str, expected: Event) -> None:
    notices = pipe.notices()
    notices.start()
    pipe.write(f"{line}\n")
    assert await pipe.until(1) == [expected]
    notices.close()


async def test_what_is_not_understood_is_logged(
    pipe: Pipe, caplog: pytest.LogCaptureFixture
) -> None:
    notices = pipe.notices()
    notices.start()
    with caplog.at_level(logging.WARNING):
        pipe.write("something else\nbeside failed errno=13\n")
        [failed] = await pipe.until(1)
    assert isinstance(failed, EntrypointEnded)
    assert "something else" in caplog.text
    notices.close()


async def test_a_supervisor_that_is_gone_says_no_more() -> None:
    reading, writing = os.pipe()
    notices = Notices(reading, lambda event: None)
    notices.start()
    os.close(writing)
    await asyncio.sleep(0.05)
    assert not asyncio.get_running_loop().remove_reader(reading)
    os.close(reading)
