"""Reading: lines and bytes, text told from binary, limits, and an error for each trouble."""

import os
import socket
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tether_runtime_client.files import (
    DanglingLink,
    FileMissing,
    FileOperationError,
    IsADirectory,
    NotADirectory,
    NotAFile,
    NotText,
    OutOfRange,
    TooLarge,
    Unreadable,
    read_bytes,
    read_text,
)

from ..nobody import as_nobody


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_text("one\ntwo\nthree\n")
    return path


# Text


def test_whole_file(file: Path) -> None:
    found = read_text(str(file))
    assert (found.content, found.start_line, found.end_line) == ("one\ntwo\nthree\n", 1, 3)
    assert (found.total_lines, found.total_bytes, found.truncated) == (3, 14, False)
    assert (found.encoding, found.line_end, found.path) == ("utf-8", "\n", str(file))


@pytest.mark.parametrize(
    ("start", "end", "content", "last"),
    [
        (1, 1, "one\n", 1),
        (2, 3, "two\nthree\n", 3),
        (2, None, "two\nthree\n", 3),
        (3, 99, "three\n", 3),
        (3, 2, "", 2),
    ],
)
def test_range_of_lines(file: Path, start: int, end: int | None, content: str, last: int) -> None:
    found = read_text(str(file), start_line=start, end_line=end)
    assert (found.content, found.start_line, found.end_line) == (content, start, last)
    assert found.total_lines == 3


def test_range_beyond_the_file(file: Path) -> None:
    with pytest.raises(OutOfRange, match="has 3 lines, so there is no line 4") as caught:
        read_text(str(file), start_line=4)
    assert caught.value.data["total_lines"] == 3


def test_empty_file_and_missing_last_end(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    empty = read_text(str(path))
    assert (empty.content, empty.start_line, empty.end_line, empty.total_lines) == ("", 1, 0, 0)
    path.write_text("a\nb")
    assert read_text(str(path)).total_lines == 2
    assert read_text(str(path), start_line=2).content == "b"


def test_only_lf_ends_a_line(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes("a\rb\x0b\x0c\u2028c\r\nd\r\n".encode())
    found = read_text(str(path), end_line=1)
    assert (found.content, found.total_lines, found.line_end) == (
        "a\rb\x0b\x0c\u2028c\r\n",
        2,
        "\r\n",
    )


@settings(max_examples=200, deadline=None)
@given(
    lines=st.lists(st.sampled_from(["", "x", "üü", "€" * 5, "𝄞"]), max_size=30),
    ended=st.booleans(),
    start=st.integers(1, 32),
    end=st.none() | st.integers(1, 40),
    piece=st.integers(1, 9),
)
def test_any_range_is_what_splitting_gives(
    lines: list[str], ended: bool, start: int, end: int | None, piece: int
) -> None:
    import tempfile

    from tether_runtime_client.files import read as module

    text = "\n".join(lines) + ("\n" if ended else "")
    expected = [line + "\n" for line in text.split("\n")[:-1]] + [text.split("\n")[-1]]
    expected = [line for line in expected if line]
    with tempfile.NamedTemporaryFile() as file, pytest.MonkeyPatch.context() as patch:
        file.write(text.encode())
        file.flush()
        patch.setattr(module, "pieces", lambda file: iter(lambda: file.read(piece), b""))
        if start > max(len(expected), 1):
            with pytest.raises(OutOfRange):
                read_text(file.name, start_line=start, end_line=end)
            return
        found = read_text(file.name, start_line=start, end_line=end)
    assert found.content == "".join(expected[start - 1 : end])
    assert found.total_lines == len(expected)


# Binary and encodings


@pytest.mark.parametrize(
    ("data", "offset", "why"),
    [
        (b"\x7fELF\0", 4, "is binary"),
        (b"caf\xe9\n", 3, "not UTF-8 text: byte 3 is 0xe9"),
        (b"a" * 1_500_000 + b"\0", 1_500_000, "is binary"),
        (b"a" * 1_500_000 + b"\xff", 1_500_000, "not UTF-8 text"),
        (b"a\xe2\x82", 1, "in the middle of a UTF-8 character"),
        (b"\xed\xa0\x80", 0, "not UTF-8 text"),
    ],
)
def test_what_is_no_text(tmp_path: Path, data: bytes, offset: int, why: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(NotText, match=why) as caught:
        read_text(str(path), end_line=1)
    assert caught.value.data["offset"] == offset
    assert read_bytes(str(path), max_bytes=2_000_000).data == data


def test_characters_across_pieces(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for shift in range(4):
        path.write_text("x" * shift + "€𝄞ü" * 400_000)
        found = read_text(str(path), max_bytes=10_000_000)
        assert found.content == path.read_text()


@pytest.mark.parametrize(
    ("codec", "name"),
    [
        ("utf-8-sig", "utf-8"),
        ("utf-16", "utf-16-le"),
        ("utf-32", "utf-32-le"),
    ],
)
def test_byte_order_marks(tmp_path: Path, codec: str, name: str) -> None:
    path = tmp_path / "file"
    path.write_bytes("eins\nzwölf\n".encode(codec))
    found = read_text(str(path), start_line=2)
    assert (found.content, found.encoding, found.total_lines) == ("zwölf\n", name, 2)


def test_named_encoding(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes("café\n".encode("latin-1"))
    assert read_text(str(path), encoding="latin1").content == "café\n"
    path.write_bytes("a\nb\n".encode("utf-16-be"))
    assert read_text(str(path), encoding="utf-16-be").content == "a\nb\n"
    path.write_bytes(b"odd")
    with pytest.raises(NotText, match="is not text in utf-16-be"):
        read_text(str(path), encoding="utf-16-be")
    for name in ("no-such", "base64"):
        with pytest.raises(NotText, match="no text encoding"):
            read_text(str(path), encoding=name)


# Limits


def test_limit(file: Path) -> None:
    assert read_text(str(file), max_bytes=14).content == "one\ntwo\nthree\n"
    with pytest.raises(TooLarge, match=r"more than 13 bytes.*the file: 14 bytes, 3 lines"):
        read_text(str(file), max_bytes=13)
    assert read_text(str(file), end_line=2, max_bytes=8).content == "one\ntwo\n"


def test_cut_after_a_line(file: Path) -> None:
    found = read_text(str(file), max_bytes=13, if_larger="truncate")
    assert (found.content, found.end_line, found.truncated) == ("one\ntwo\n", 2, True)
    assert (found.total_lines, found.total_bytes) == (3, 14)


def test_cut_within_a_long_line(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("€" * 100)
    found = read_text(str(path), max_bytes=10, if_larger="truncate")
    assert (found.content, found.end_line, found.truncated) == ("€€€", 1, True)


def test_fifty_megabytes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("".join(f"line {number}\n" for number in range(1, 4_000_001)))
    started = time.process_time()
    found = read_text(str(path), start_line=3_999_999)
    assert time.process_time() - started < 2
    assert found.content == "line 3999999\nline 4000000\n"
    with pytest.raises(TooLarge):
        read_text(str(path))


def test_files_the_kernel_makes_up() -> None:
    """Their size is 0 until they are read."""
    found = read_text("/proc/self/status")
    assert found.content.startswith("Name:")
    assert found.total_bytes == len(found.content)
    assert read_bytes("/proc/self/cmdline").data


# Bytes


def test_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(100)))
    assert read_bytes(str(path)).data == bytes(range(100))
    found = read_bytes(str(path), offset=90, length=5)
    assert (found.data, found.offset, found.total_bytes) == (bytes(range(90, 95)), 90, 100)
    assert read_bytes(str(path), offset=98, length=50).data == b"\x62\x63"
    assert read_bytes(str(path), offset=500).data == b""
    with pytest.raises(TooLarge, match="100 bytes, more than the limit of 99") as caught:
        read_bytes(str(path), max_bytes=99)
    assert (caught.value.data["size"], caught.value.data["limit"]) == (100, 99)
    cut = read_bytes(str(path), max_bytes=99, if_larger="truncate")
    assert (len(cut.data), cut.truncated) == (99, True)


# What is in the way


@pytest.mark.parametrize("read", [read_text, read_bytes])
def test_each_trouble_has_its_error(tmp_path: Path, read: object) -> None:
    assert callable(read)
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
    cases: list[tuple[str, type[FileOperationError], str]] = [
        ("none", FileMissing, "there is nothing at"),
        ("dangling", DanglingLink, "is a link to nowhere, which is missing"),
        ("circle", DanglingLink, "circle of links"),
        (".", IsADirectory, "is a directory"),
        ("file/below", NotADirectory, "no directory"),
        ("pipe", NotAFile, "no ordinary file"),
        ("socket", NotAFile, "socket"),
        ("a\0b", FileMissing, "can be no path"),
        ("n" * 300, FileOperationError, "File name too long"),
    ]
    for name, kind, why in cases:
        with pytest.raises(kind, match=why) as caught:
            read(f"{tmp_path}/{name}")
        assert type(caught.value) is kind
        assert caught.value.path == caught.value.data["path"] == f"{tmp_path}/{name}"
        assert caught.value.hint
    with pytest.raises(NotAFile):
        read("/dev/zero")


def test_a_tilde_is_no_home() -> None:
    with pytest.raises(FileMissing, match="`~` stands for no home here"):
        read_text("~/none")


def test_unreadable(tmp_path: Path) -> None:
    (tmp_path / "secret").touch(mode=0o600)
    (tmp_path / "closed").mkdir(mode=0o700)

    def refused() -> int:
        for name in ("secret", "closed/x"):
            with pytest.raises(Unreadable):
                read_text(str(tmp_path / name))
        return 2

    assert as_nobody(tmp_path, refused) == 2


def test_link_is_followed(file: Path) -> None:
    (file.parent / "link").symlink_to("file")
    assert read_text(str(file.parent / "link")).total_lines == 3


def test_no_descriptor_is_left_open(file: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for path in (str(file), str(file.parent), "/dev/zero"):
        try:
            read_text(path, max_bytes=3)
        except FileOperationError:
            continue
    assert len(os.listdir("/proc/self/fd")) == before
