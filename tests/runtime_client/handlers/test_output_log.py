"""The byte log of a command: exact in the file, bounded in memory, whole as deltas."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from tether_runtime_client.handlers.output_log import OutputLog
from tether_runtime_client.protocol.events import CmdOutputDelta, Event, SessionWarning
from tether_runtime_client.protocol.limits import CONTENT_LIMIT, DELTA_SIZE


class Log(OutputLog):
    def __init__(self, path: Path) -> None:
        self.events: list[Event] = []
        super().__init__("default", "action", path, self.events.append)

    @property
    def deltas(self) -> list[CmdOutputDelta]:
        return [event for event in self.events if isinstance(event, CmdOutputDelta)]

    def assert_continuous(self) -> None:
        offset = 0
        for delta in self.deltas:
            assert delta.offset == offset
            assert 0 < delta.length <= DELTA_SIZE + 3
            offset += delta.length
        assert offset == self.total


async def test_plain_short_output_needs_no_file(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.write(b"hello\n")
    assert log.report(ansi=False, last=True) == ("hello\n", False, None)
    assert [delta.content for delta in log.deltas] == ["hello\n"]
    assert not (tmp_path / "log").exists()


async def test_a_report_has_only_what_is_new(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.write(b"one\n")
    assert log.report(ansi=False)[0] == "one\n"
    assert log.report(ansi=False)[0] == ""
    log.write(b"two\n")
    assert log.report(ansi=False, last=True)[0] == "two\n"
    assert log.total == 8


@pytest.mark.parametrize("data", [b"\xff\xfe", b"\x1b[31mred\x1b[0m\n", b"10%\r20%\r"])
async def test_what_is_shown_differently_is_in_the_file(tmp_path: Path, data: bytes) -> None:
    log = Log(tmp_path / "log")
    log.write(b"start ")
    log.write(data)
    _, truncated, path = log.report(ansi=False, last=True)
    assert (truncated, path) == (False, str(tmp_path / "log"))
    assert (tmp_path / "log").read_bytes() == b"start " + data


async def test_characters_are_never_split(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    for byte in "naïve 🐚 é\n".encode():
        log.write(bytes([byte]))
        log.flush()
    log.flush(last=True)
    assert "".join(delta.content for delta in log.deltas) == "naïve 🐚 é\n"
    log.assert_continuous()


async def test_half_a_character_at_the_end_is_told(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.write("é".encode()[:1])
    log.report(ansi=False, last=True)
    assert [delta.content for delta in log.deltas] == ["\ufffd"]
    log.assert_continuous()


async def test_a_flood_is_whole_in_file_and_deltas_and_cut_in_content(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    block = os.urandom(1024).hex().encode() * 32
    for _ in range(64):
        log.write(memoryview(block))
    content, truncated, path = log.report(ansi=False, last=True)
    assert (truncated, path) == (True, str(tmp_path / "log"))
    assert len(content) < CONTENT_LIMIT + 100
    assert f"{64 * len(block) - CONTENT_LIMIT} bytes left out" in content
    assert (tmp_path / "log").read_bytes() == block * 64
    assert "".join(delta.content for delta in log.deltas).encode() == block * 64
    log.assert_continuous()


@pytest.mark.parametrize("size", [10, CONTENT_LIMIT + 10])
async def test_a_report_after_the_end_leaves_the_file_whole(tmp_path: Path, size: int) -> None:
    log = Log(tmp_path / "log")
    log.write(b"\xff" * size)
    log.report(ansi=False)
    log.write(b"\xfe" * size)
    log.close()
    _, _, path = log.report(ansi=False, last=True)
    assert path == str(tmp_path / "log")
    assert (tmp_path / "log").read_bytes() == b"\xff" * size + b"\xfe" * size


async def test_output_goes_out_by_itself(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.write(b"soon")
    async with asyncio.timeout(5):
        while not log.deltas:
            await asyncio.sleep(0.001)
    assert log.deltas[0].content == "soon"


async def test_a_file_that_cannot_be_written_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    log = Log(tmp_path / "file" / "log")
    for _ in range(3):
        log.write(b"x" * CONTENT_LIMIT)
    _, truncated, path = log.report(ansi=False, last=True)
    assert (truncated, path) == (True, None)
    [warning] = [event for event in log.events if isinstance(event, SessionWarning)]
    assert "cannot be kept whole" in warning.message
    log.assert_continuous()


async def test_the_end_of_it_from_memory_and_from_the_file(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    assert log.tail(0, 10) == (0, b"")
    log.write(b"0123456789")
    assert log.tail(0, 100) == (0, b"0123456789")
    assert log.tail(4, 100) == (4, b"456789")
    assert log.tail(0, 3) == (7, b"789")
    log.write(b"x" * CONTENT_LIMIT)
    log.write(b"end")
    assert log.tail(0, 5) == (log.total - 5, b"xxend")
    assert log.tail(0, 2 * CONTENT_LIMIT) == (0, b"0123456789" + b"x" * CONTENT_LIMIT + b"end")
    log.close()
    assert log.tail(log.total - 3, 100) == (log.total - 3, b"end")
    assert log.tail(log.total, 100) == (log.total, b"")


@pytest.mark.parametrize("gone", ["unlinked", "a fifo", "a link"])
async def test_the_end_of_it_without_the_file(tmp_path: Path, gone: str) -> None:
    """Whoever runs commands may do anything to the file; what is closed has its end in memory."""
    log = Log(tmp_path / "log")
    log.write(b"x" * CONTENT_LIMIT)
    log.write(b"0123456789")
    (tmp_path / "log").unlink()
    if gone == "a fifo":
        os.mkfifo(tmp_path / "log")
    elif gone == "a link":
        (tmp_path / "log").symlink_to("/etc/passwd")
    assert log.tail(0, 2 * CONTENT_LIMIT) == (0, b"x" * CONTENT_LIMIT + b"0123456789")
    log.close()
    assert log.tail(0, 5) == (log.total - 5, b"56789")
    start, data = log.tail(0, 2 * CONTENT_LIMIT)
    assert 0 < start == log.total - len(data)
    assert data.endswith(b"x0123456789")
    log.report(ansi=False)
    assert log.tail(0, 5) == (log.total, b"")
