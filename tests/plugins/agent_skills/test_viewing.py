"""A file in a window of lines, as an agent reads it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tether_plugins.agent_skills import goto_line, open_file, scroll_down, scroll_up, viewing


@pytest.fixture(autouse=True)
def nothing_open() -> Iterator[None]:
    viewing._last.clear()
    yield
    viewing._last.clear()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "numbers.txt"
    path.write_text("".join(f"line {n}\n" for n in range(1, 51)))
    return path


def numbers(capsys: pytest.CaptureFixture[str]) -> list[int]:
    lines = capsys.readouterr().out.splitlines()
    return [int(line.partition("|")[0]) for line in lines if line.partition("|")[0].isdigit()]


def test_a_window_says_where_it_is(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    open_file(str(file), 25, context_lines=4)
    assert capsys.readouterr().out == (
        f"[File: {file} (50 lines)]\n(22 more lines above)\n"
        "23|line 23\n24|line 24\n25|line 25\n26|line 26\n(24 more lines below)\n"
    )


def test_scrolling_shows_each_line_once(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    open_file(str(file), context_lines=20)
    assert numbers(capsys) == [*range(1, 21)]
    scroll_down()
    assert numbers(capsys) == [*range(21, 41)]
    scroll_down()
    assert numbers(capsys) == [*range(31, 51)]  # a full window at the end
    scroll_up()
    scroll_up()
    assert numbers(capsys)[-1] == 20
    goto_line(50)
    assert "(this is the end)" in capsys.readouterr().out


def test_what_is_open_outlives_the_process_where_a_file_is_named_for_it(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(viewing.STATE, str(tmp_path / "state.json"))
    open_file(str(file), context_lines=10)
    viewing._last.clear()
    scroll_down()
    assert numbers(capsys)[-10:] == [*range(11, 21)]


@pytest.mark.parametrize("text", ["", "one", "\n", "a\r\nb\x0cc\u2028d\n"])
def test_any_text_can_be_opened(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "text"
    path.write_bytes(text.encode())
    open_file(str(path))
    assert numbers(capsys) == [
        *range(1, text.count("\n") + (not text.endswith("\n")) * bool(text) + 1)
    ]


def test_long_lines_and_bytes_that_are_no_text_can_be_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"\xff\xfe\n" + b"x" * 100_000)
    open_file(str(path))
    shown = capsys.readouterr().out
    assert "1|\ufffd\ufffd\n" in shown
    assert "(98,000 more characters)" in shown


def test_errors_say_what_to_do(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="call open_file first"):
        scroll_up()
    with pytest.raises(FileNotFoundError, match=r"did you mean .*numbers\.txt\?"):
        open_file(str(tmp_path / "number.txt"))
    with pytest.raises(IsADirectoryError, match="find_file and search_dir"):
        open_file(str(tmp_path))
    with pytest.raises(ValueError, match="from 1 to 50"):
        open_file(str(file), 51)
    with pytest.raises(ValueError, match="1 or more"):
        open_file(str(file), context_lines=0)
    with pytest.raises(ValueError, match="no regular file"):
        open_file("/dev/zero")
