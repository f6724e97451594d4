"""Bytes: what a command wrote is what is reported, to the last one."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Iterable
from pathlib import Path

import pytest

from tether_server import (
    CmdOutputDelta,
    CmdOutputObservation,
    CmdRunAction,
    FileReadAction,
    FileWriteAction,
)

from .conftest import Shell

PLAIN = {
    "nothing": b"",
    "blank lines and tabs around": b"\n\n\t\n \ta\t b  \n\n\n",
    "no final newline": b"abc",
    "only newlines": b"\n" * 100,
    "line ends of DOS": b"a\r\nb\r\n\r\n",
    "NUL": b"a\0b\0\0\n",
    "control characters": bytes(set(range(32)) - {0x0A, 0x0D, 0x1B}) + b"\x7f\n",
    "emoji": "🐎🇨🇿👩‍👩‍👧 e\u0301\n".encode(),
    "every width of character": "aé\u20ac🐎".encode() * 3000,
    "a line of 100,000 characters": b"x" * 100_000 + b"\n",
    "such lines in more than one byte": ("ž" * 100_000 + "\n").encode(),
    "what prompts look like": b"bash-5.2# \n$ \n> \nroot@x:/# exit\n",
    "replacement characters": "\ufffd\n".encode() * 10,
}
"""`content` is all of it."""

ODD = {
    "invalid UTF-8": b"\xff\xfe\xc3(\xe2\x82\n\x80\n",
    "invalid UTF-8 across reads": b"x" + b"\xf0\x9f\x90" * 70_001,
    "a character cut at the end": b"abc\xe2\x82",
    "surrogates and overlong forms": b"\xed\xa0\x80\xc0\x80\xf8\x88\x80\x80\x80\n",
    "every byte": bytes(range(256)) * 300,
    "escape sequences": b"\x1b[31mred\x1b[0m\x1b]0;title\x07\x9b1m\x1bP1;2q\x1b\\\n",
    "progress": b"".join(b"\r%3d%%" % n for n in range(101)) + b"\n",
}
"""`content` is what a person would have read of it."""


async def log_of(shell: Shell, seen: CmdOutputObservation) -> bytes:
    """The exact bytes of a command, as the guide says to get them."""
    if seen.full_output_path is None:
        return seen.content.encode()
    read = await shell.runtime.run(FileReadAction(path=seen.full_output_path, binary=True))
    assert read.data is not None
    return read.data


async def streamed(shell: Shell, command: str) -> tuple[list[CmdOutputDelta], CmdOutputObservation]:
    """The deltas of a command, and its observation."""
    events = []
    async for event in shell.runtime.stream(CmdRunAction(command=command, session=shell.session)):
        events.append(event)
    *deltas, seen = events
    assert isinstance(seen, CmdOutputObservation)
    return [delta for delta in deltas if isinstance(delta, CmdOutputDelta)], seen


def assert_slices(deltas: Iterable[CmdOutputDelta], log: bytes) -> None:
    """Each delta is the slice of the log that it says, and together they are all of it."""
    end = 0
    for delta in deltas:
        assert delta.offset == end
        end += delta.length
        assert delta.content == log[delta.offset : end].decode("utf-8", "replace")
    assert end == len(log)


async def put(shell: Shell, path: Path, data: bytes) -> None:
    await shell.runtime.run(FileWriteAction(path=str(path), data=data))


async def test_blank_lines_before_and_after_are_kept(shell: Shell) -> None:
    assert await shell.output(r"printf '\n\n a\tb \n\n\n'") == "\n\n a\tb \n\n\n"


@pytest.mark.parametrize("name", [*PLAIN, *ODD])
async def test_the_log_is_exact(shell: Shell, tmp_path: Path, name: str) -> None:
    data = {**PLAIN, **ODD}[name]
    await put(shell, tmp_path / "data", data)
    deltas, seen = await streamed(shell, f"cat {tmp_path}/data")
    assert (seen.exit_code, seen.total_bytes) == (0, len(data))
    assert await log_of(shell, seen) == data
    assert_slices(deltas, data)
    if name in PLAIN:
        assert (seen.content.encode(), seen.truncated) == (data, False)
        assert seen.full_output_path is None
    else:
        assert seen.full_output_path is not None


async def test_standard_error_is_as_exact_and_in_its_place(shell: Shell, tmp_path: Path) -> None:
    await put(shell, tmp_path / "data", b"\xff\0\r\n")
    seen = await shell.run(f"for i in 1 2 3; do echo $i; cat {tmp_path}/data >&2; done")
    assert await log_of(shell, seen) == b"".join(b"%d\n\xff\0\r\n" % n for n in (1, 2, 3))


async def test_content_is_what_a_person_reads(shell: Shell, tmp_path: Path) -> None:
    await put(shell, tmp_path / "data", ODD["escape sequences"] + ODD["progress"] + b"\xff\n")
    seen = await shell.run(f"cat {tmp_path}/data")
    assert seen.content == "red\ufffd1m\n100%\n\ufffd\n"
    seen = await shell.run(f"cat {tmp_path}/data", ansi=True)
    assert seen.content.startswith("\x1b[31mred\x1b[0m\x1b]0;title\x07")
    assert "\r 99%\r100%\n" in seen.content


async def test_a_character_that_comes_in_pieces(shell: Shell) -> None:
    command = r"for byte in '\360' '\237' '\220' '\216\n'; do printf $byte; sleep 0.05; done"
    deltas, seen = await streamed(shell, command)
    assert seen.content == "🐎\n"
    assert "".join(delta.content for delta in deltas) == "🐎\n"
    assert_slices(deltas, "🐎\n".encode())


async def test_observations_together_are_the_text(shell: Shell) -> None:
    """Whoever polls gets no halves of characters and of control sequences."""
    command = r"printf 'a\303'; read -s; printf '\251\033[3'; read -s; printf '1mb\033[0m\n'"
    seen = [await shell.run(command)]
    while seen[-1].status == "waiting_for_input":
        seen.append(await shell.type("\n"))
    assert "".join(part.content for part in seen) == "aéb\n"
    assert await log_of(shell, seen[-1]) == "aé\x1b[31mb\x1b[0m\n".encode()


async def test_a_poll_brings_only_what_is_new(shell: Shell) -> None:
    first = await shell.run("printf '\\377one\\n'; read x; echo two; exit 0 | cat")
    assert (first.status, first.content) == ("waiting_for_input", "\ufffdone\n")
    assert await log_of(shell, first) == b"\xffone\n"
    last = await shell.type("\n")
    assert last.content.endswith("two\n")
    assert "one" not in last.content
    assert (await log_of(shell, last)).startswith(b"\xffone\n")
    assert last.total_bytes == len(await log_of(shell, last))


async def test_a_long_log_is_whole_in_its_file(shell: Shell, tmp_path: Path) -> None:
    data = random.Random(4).randbytes(3_000_000)
    await put(shell, tmp_path / "data", data)
    deltas, seen = await streamed(shell, f"cat {tmp_path}/data")
    assert (seen.truncated, seen.total_bytes) == (True, len(data))
    assert f"[... {len(data) - 256 * 1024} bytes left out ...]" in seen.content
    assert_slices(deltas, data)
    assert seen.full_output_path is not None
    fetched = tmp_path / "fetched"
    await shell.runtime.download(seen.full_output_path, fetched)
    assert hashlib.sha256(fetched.read_bytes()).digest() == hashlib.sha256(data).digest()


async def test_what_is_written_last_is_not_late(shell: Shell) -> None:
    """Also where it takes many reads of the terminal, and is there as soon as the status is."""
    for number in range(200):
        last = number + 4000 * (number % 3 == 0)
        command = f"echo {{{number}..{last}}}" if number % 4 else f"cat <<< {number}"
        words = range(number, (last if number % 4 else number) + 1)
        assert await shell.output(command) == " ".join(map(str, words)) + "\n"


async def test_sessions_keep_their_bytes_apart(shell: Shell) -> None:
    others = [Shell(shell.runtime, shell.place, f"{shell.session}-{n}") for n in range(4)]
    wide = [other.run(f"for i in {{1..2000}}; do echo {n}; done") for n, other in enumerate(others)]
    for number, seen in enumerate(await asyncio.gather(*wide)):
        assert seen.content == f"{number}\n" * 2000
    for other in others:
        await other.reset()
