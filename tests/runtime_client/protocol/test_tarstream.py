"""Trees as tar streams: exact round trips, awkward trees, other tools' archives."""

import io
import os
import socket
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings

from tether_runtime_client.protocol.attributes import Receiving
from tether_runtime_client.protocol.errors import TransferError, UnsafeArchive
from tether_runtime_client.protocol.tarheader import (
    FILE,
    FOLDER,
    SYMLINK,
    Member,
    encode,
    read_member,
)
from tether_runtime_client.protocol.tarstream import Unpacked, pack, unpack, unpack_tree

from ..nobody import as_nobody
from .grown import SIZES, Tree, grow, targets, times, trees
from .trees import archive, make_tree, member, packed, snapshot, unpacked

# Round trips


def test_round_trip(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source")
    stream, sent = packed(source)
    received = unpacked(stream, tmp_path / "target")
    assert snapshot(tmp_path / "target") == snapshot(source)
    assert (sent.members, sent.files, sent.bytes) == (13, 5, len(stream))
    assert received == Unpacked(sent.members, sent.files, sent.bytes, sent.crc32, ())


def test_same_tree_same_stream(tmp_path: Path) -> None:
    stream, _ = packed(make_tree(tmp_path / "source"))
    unpacked(stream, tmp_path / "target")
    assert packed(tmp_path / "target")[0] == stream


def test_a_way_in_with_the_caller_counting(tmp_path: Path) -> None:
    stream = io.BytesIO(packed(make_tree(tmp_path / "source"))[0])
    (tmp_path / "target").mkdir()
    assert unpack_tree(stream, tmp_path / "target").files == 5
    assert snapshot(tmp_path / "target") == snapshot(tmp_path / "source")


def test_one_file_and_another_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    unpacked(packed(tmp_path / "file")[0], tmp_path / "a")
    unpacked(packed(tmp_path / "file", arcname="else/where")[0], tmp_path / "b")
    unpacked(packed(make_tree(tmp_path / "tree"), arcname="top")[0], tmp_path / "c")
    assert (tmp_path / "a" / "file").read_text() == "x"
    assert (tmp_path / "b" / "else" / "where").read_text() == "x"
    assert snapshot(tmp_path / "c" / "top") == snapshot(tmp_path / "tree")


def test_link_at_the_top_is_followed(tmp_path: Path) -> None:
    make_tree(tmp_path / "tree")
    (tmp_path / "link").symlink_to("tree")
    assert packed(tmp_path / "link")[0] == packed(tmp_path / "tree")[0]


def test_read_may_give_any_part(tmp_path: Path) -> None:
    stream, _ = packed(make_tree(tmp_path / "source"))
    for size in (1, 7, 511, 513):
        source, target = io.BytesIO(stream), tmp_path / str(size)
        target.mkdir()
        unpack(lambda _, source=source, size=size: source.read(size), target)  # type: ignore[misc]
        assert snapshot(target) == snapshot(tmp_path / "source")


def test_sizes_around_every_boundary(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    for size in SIZES:
        (tmp_path / "source" / str(size)).write_bytes(os.urandom(size))
    unpacked(packed(tmp_path / "source")[0], tmp_path / "target")
    assert snapshot(tmp_path / "target") == snapshot(tmp_path / "source")


@settings(max_examples=100, deadline=None)
@given(tree=trees(), when=times)
def test_any_tree_comes_back_as_it_was(tree: Tree, when: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source, target = grow(Path(folder) / "source", tree, when), Path(folder) / "target"
        unpacked(packed(source)[0], target)
        assert snapshot(target) == snapshot(source)


@settings(max_examples=50, deadline=None)
@given(tree=trees(targets), when=times)
def test_any_tree_comes_back_with_its_links_kept(tree: Tree, when: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source, target = grow(Path(folder) / "source", tree, when), Path(folder) / "target"
        unpacked(packed(source)[0], target, receiving=Receiving(links="keep"))
        assert snapshot(target) == snapshot(source)


def test_long_names_and_targets(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for length in (98, 99, 100, 101, 200, 255):
        (source / ("d" * length)).mkdir(parents=True)
        (source / ("d" * length) / ("f" * length)).write_text(str(length))
        (source / ("l" * length)).symlink_to("t" * (length * 10))
        odd = os.fsencode(source) + b"/" + b"\xff\n=" * (length // 3)
        Path(os.fsdecode(odd)).write_text("odd")
    deep = source
    for _ in range(30):
        deep = deep / ("n" * 100)
        deep.mkdir()
    (deep / "bottom").write_text("deep")
    unpacked(packed(source)[0], tmp_path / "target")
    assert snapshot(tmp_path / "target") == snapshot(source)


# Packing what is awkward


def test_sockets_and_pipes_are_left_out_and_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        (tmp_path / "file").touch()
        sent = packed(tmp_path)[1]
    assert [(note.path, note.reason) for note in sent.notes] == [
        ("pipe", "special_file"),
        ("socket", "special_file"),
    ]
    assert sent.members == 2
    with pytest.raises(OSError, match="neither a file nor a folder"):
        packed(tmp_path / "pipe")


def test_errors_name_the_whole_path(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        packed(tmp_path / "no" / "such")
    assert caught.value.filename == os.fsencode(tmp_path / "no" / "such")


def test_unreadable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "secret").touch(mode=0o600)

    def refused() -> str:
        with pytest.raises(PermissionError) as caught:
            pack(tmp_path, lambda data: None)
        return str(caught.value.filename)

    assert as_nobody(tmp_path, refused) == str(tmp_path / "folder" / "secret")


def test_file_that_grows_is_sent_as_long_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"x" * 1_000_000)
    stream = io.BytesIO()

    def write(data: bytes) -> None:
        with (tmp_path / "log").open("ab") as log:
            log.write(b"more")
        stream.write(data)

    pack(tmp_path, write)
    unpacked(stream.getvalue(), tmp_path / "target")
    assert (tmp_path / "target" / "log").read_bytes() == b"x" * 1_000_000


def test_file_that_shrinks_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"x" * 1_000_000)
    with pytest.raises(TransferError, match=r"log' became shorter while it was read"):
        pack(tmp_path, lambda data: os.truncate(tmp_path / "log", 10))


def test_what_vanishes_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 1_000_000)
    (tmp_path / "b").write_text("gone in a moment")
    (tmp_path / "c").mkdir()
    stream = io.BytesIO()

    def write(data: bytes) -> None:
        stream.write(data)
        (tmp_path / "b").unlink(missing_ok=True)
        if (tmp_path / "c").exists():
            (tmp_path / "c").rmdir()

    assert pack(tmp_path, write).members == 2
    unpacked(stream.getvalue(), tmp_path / "target")
    assert os.listdir(tmp_path / "target") == ["a"]


def test_error_of_write_comes_through(tmp_path: Path) -> None:
    def write(data: bytes) -> None:
        raise BrokenPipeError("the peer is gone")

    with pytest.raises(BrokenPipeError, match="the peer is gone"):
        pack(make_tree(tmp_path / "tree"), write)


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    stream, _ = packed(make_tree(tmp_path / "tree"))
    before = len(os.listdir("/proc/self/fd"))
    unpacked(stream, tmp_path / "target")
    with pytest.raises(TransferError):
        unpacked(stream[: len(stream) // 2], tmp_path / "half")
    with pytest.raises(UnsafeArchive):
        unpacked(archive(member("deep/er/../x")), tmp_path / "bad")
    assert len(os.listdir("/proc/self/fd")) == before


# Other tools


@pytest.mark.parametrize("form", ["gnu", "pax", "ustar", "oldgnu", "v7"])
def test_archives_of_gnu_tar(tmp_path: Path, form: str) -> None:
    source = make_tree(tmp_path / "source")
    if form in ("gnu", "pax", "oldgnu"):
        (source / ("n" * 120)).mkdir()
        (source / ("n" * 120) / ("m" * 150)).symlink_to("t" * 140)
    for path in [source, *source.rglob("*")]:
        os.utime(path, ns=(0, 1_700_000_000_000_000_000), follow_symlinks=False)
    done = subprocess.run(
        ["tar", "c", f"--format={form}", "-C", str(source), "."], capture_output=True, check=True
    )
    unpacked(done.stdout, tmp_path / "target")
    assert snapshot(tmp_path / "target") == snapshot(source)


def test_gnu_tar_and_tarfile_read_ours(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source")
    (source / ("n" * 120)).mkdir()
    (source / ("n" * 120) / "m\udcff").symlink_to("t" * 140)
    stream, _ = packed(source)
    for way in ("tar", "tarfile"):
        target = tmp_path / way
        target.mkdir()
        if way == "tar":
            subprocess.run(["tar", "x", "-C", str(target)], input=stream, check=True)
        else:
            with tarfile.open(fileobj=io.BytesIO(stream)) as reader:
                reader.extractall(target)
        ours, theirs = snapshot(source), snapshot(target)
        assert {name: about[::3] for name, about in theirs.items()} == {
            name: about[::3] for name, about in ours.items()
        }


def test_git_archive(tmp_path: Path) -> None:
    """It begins with a global pax header that holds a comment."""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a"]
    (tmp_path / "file").write_text("x")
    for arguments in (["init", "-q"], ["add", "file"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *arguments], check=True)
    done = subprocess.run([*git, "archive", "HEAD"], capture_output=True, check=True)
    unpacked(done.stdout, tmp_path / "target")
    assert (tmp_path / "target" / "file").read_text() == "x"


@pytest.mark.parametrize(
    "fraction", [b"tns12345678x", b"tns         ", b"123456789012", b"tns-2345678"]
)
def test_a_fraction_of_a_time_is_nine_digits(fraction: bytes) -> None:
    block = bytearray(encode(Member(FILE, b"a", mtime_ns=5_000_000_006)))
    assert block[500:] == b"tns000000006"
    before = sum(block[500:])
    block[500:] = fraction.ljust(12, b"\0")
    checksum = int(block[148:154], 8) - before + sum(block[500:])
    block[148:154] = b"%06o" % checksum
    found = read_member(io.BytesIO(block).read)
    assert found is not None
    assert found.mtime_ns == 5_000_000_000


@pytest.mark.parametrize(
    "extreme",
    [
        Member(FILE, b"a", uid=2**31, gid=2**32 - 2, size=0, mtime_ns=-1),
        Member(FILE, b"a", mtime_ns=2**33 * 1_000_000_000),
        Member(FILE, b"n" * 101, size=8**11 + 1),
        Member(FOLDER, b"n" * 300 + b"/", 0o7777, mtime_ns=1_999_999_999),
        Member(SYMLINK, b"\xff" * 101, target=b"\xfe" * 4000),
    ],
)
def test_extreme_numbers(extreme: Member) -> None:
    """Numbers beyond the old fields, as our reader and as tarfile see them: of a time in the old
    field that takes the seconds.
    """
    stream = io.BytesIO(encode(extreme))
    assert read_member(stream.read) == extreme
    with tarfile.open(fileobj=io.BytesIO(stream.getvalue() + bytes(1024))) as reader:
        found = reader.next()
    assert found is not None
    assert (found.uid, found.gid, found.size) == (extreme.uid, extreme.gid, extreme.size)
    assert os.fsencode(found.name) == extreme.name.rstrip(b"/")
    assert found.mtime == pytest.approx(extreme.mtime_ns / 1e9, abs=1)


# Cost


def test_memory_stays_flat() -> None:
    code = """
import resource, sys
from tether_runtime_client.protocol.tarheader import Member, encode
from tether_runtime_client.protocol.tarstream import pack, unpack
import os, tempfile
with tempfile.TemporaryDirectory() as folder:
    with open(folder + "/big", "wb") as file:
        file.truncate(300_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read_end)
        pack(folder, lambda data: os.write(write_end, data) == len(data) or sys.exit(9))
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        os._exit(0 if grown < 8000 else 1)
    os.close(write_end)
    with tempfile.TemporaryDirectory() as target:
        unpack(lambda size: os.read(read_end, size), target)
        assert os.path.getsize(target + "/big") == 300_000_000
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8000
"""
    subprocess.run([sys.executable, "-c", code], check=True)
