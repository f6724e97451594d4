from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tether_runtime_client.bounded_log import BoundedLog, earlier, tail


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "state" / "log")


def test_what_is_written_is_there(path: str) -> None:
    log = BoundedLog(path, limit=100)
    assert log.write(b"one\n")
    assert log.write(b"two\n")
    assert Path(path).read_bytes() == b"one\ntwo\n"
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(path).parent.stat().st_mode) == 0o700
    log.close()


def test_it_goes_on_in_a_file_that_is_there(path: str) -> None:
    for word in (b"one\n", b"two\n"):
        log = BoundedLog(path, limit=100)
        log.write(word)
        log.close()
        log.close()
    assert tail(path, 100) == b"one\ntwo\n"


@pytest.mark.parametrize("piece", [1, 7, 10, 25, 1000])
def test_it_never_takes_more_than_two_files(path: str, piece: int) -> None:
    log = BoundedLog(path, limit=10)
    written = b""
    for number in range(60):
        data = (b"%d," % number * piece)[:piece]
        assert log.write(data)
        written += data
        sizes = [Path(name).stat().st_size for name in (path, earlier(path)) if Path(name).exists()]
        assert max(sizes) <= 10
        kept = tail(path, 20)
        assert written.endswith(kept)
        assert len(kept) >= min(len(written), 10)
    log.close()


def test_the_end_of_it(path: str) -> None:
    log = BoundedLog(path, limit=4)
    for data in (b"abcd", b"efg"):
        log.write(data)
    log.close()
    assert [tail(path, size) for size in (0, 2, 3, 5, 100)] == [
        b"", b"fg", b"efg", b"cdefg", b"abcdefg"
    ]  # fmt: skip
    assert tail(path + "-other", 5) == b""


def test_what_cannot_be_written_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert not BoundedLog(str(tmp_path / "file" / "log")).write(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert not BoundedLog(str(tmp_path / "link")).write(b"x")
    assert (tmp_path / "file").read_text() == ""
