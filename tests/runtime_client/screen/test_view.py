"""The view of a command's terminal: brought up to date when somebody looks, within bounds."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from tether_runtime_client.screen import view as module
from tether_runtime_client.screen.view import ScreenView

from .test_keyboard import Output


@pytest.fixture
def output() -> Output:
    return Output()


async def text(view: ScreenView) -> str:
    return (await view.look(newline=True)).content


async def test_a_look_shows_what_has_come_by_then(output: Output) -> None:
    view = ScreenView(output, 4, 12)
    assert await text(view) == ""
    output.data += b"one\ntw"
    assert await text(view) == "one\ntw"
    output.data += b"o\n\xe2\x82"
    shown = await view.look(newline=True)
    assert (shown.content, shown.row, shown.col) == ("one\ntwo", 3, 1)
    assert (shown.rows, shown.cols, shown.total_bytes) == (4, 12, 10)
    assert (shown.cursor_visible, shown.alternate, shown.complete) == (True, False, True)
    output.data += b"\xac\xff"
    assert await text(view) == "one\ntwo\n€\ufffd"


async def test_the_cursor_behind_a_full_line(output: Output) -> None:
    output.data = b"x" * 12
    assert (await ScreenView(output, 4, 12).look(newline=True)).col == 12


async def test_what_was_written_before_a_resize_was_for_the_former_size(output: Output) -> None:
    view = ScreenView(output, 2, 4)
    output.data += b"abcdef"
    view.resize(2, 8)
    output.data += b"gh"
    view.resize(3, 6)
    output.data += b"\nij"
    shown = await view.look(newline=True)
    assert shown.content == "abcd\nefgh\nij"
    assert (shown.rows, shown.cols) == (3, 6)


async def test_only_so_many_changes_of_size_are_remembered(output: Output) -> None:
    view = ScreenView(output, 2, 4)
    for number in range(1000):
        output.data += b"x"
        view.resize(1 + number % 7, 10)
    assert (await view.look(newline=True)).rows == 1 + 999 % 7


async def test_of_much_output_the_last_is_drawn(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WINDOW", 1000)
    view = ScreenView(output, 4, 12)
    output.data += b"\x1b[1;12H#" + b"\x1b[2;1Hx" * 1000
    shown = await view.look(newline=True)
    assert (shown.content, shown.complete) == ("\nx", False)
    output.data += b"\x1b[2J\x1b[Hnew"
    shown = await view.look(newline=True)
    assert (shown.content, shown.complete) == ("new", True)


async def test_lines_that_scroll_through_make_the_screen_whole_again(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WINDOW", 1000)
    output.data = b"".join(b"%d\n" % number for number in range(10_000))
    shown = await ScreenView(output, 4, 12).look(newline=True)
    assert (shown.content, shown.complete) == ("9997\n9998\n9999", True)


async def test_it_takes_no_longer_than_it_may(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE_S", 0.1)
    monkeypatch.setattr(module, "_LAST", 100)
    output.data = b"\x1b[9999b" * 100_000 + b"\x1b[H" * 50
    view = ScreenView(output, 24, 200)
    clock = asyncio.get_running_loop()
    began = clock.time()
    shown = await view.look(newline=True)
    assert clock.time() - began < 2
    assert not shown.complete
    assert shown.total_bytes == output.total


async def test_the_loop_goes_on_meanwhile(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE_S", 0.5)
    output.data = b"\x1b[2;1H\x1b[9999b" * 2000
    look = asyncio.create_task(ScreenView(output, 24, 200).look(newline=True))
    longest, clock = 0.0, asyncio.get_running_loop()
    while not look.done():
        before = clock.time()
        await asyncio.sleep(0.001)
        longest = max(longest, clock.time() - before)
    assert longest < 0.3


async def test_looks_at_the_same_time(output: Output) -> None:
    output.data = b"text"
    view = ScreenView(output, 4, 12)
    assert await asyncio.gather(*(text(view) for _ in range(5))) == ["text"] * 5


def test_nothing_large_is_imported_before_the_first_look() -> None:
    program = (
        "import sys, tether_runtime_client.handlers.register;"
        "sys.exit(', '.join(sorted({'pyte', 'wcwidth'} & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
