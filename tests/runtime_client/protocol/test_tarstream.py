"""Trees as tar streams: exact round trips, other tools' archives, hostile archives, limits."""

import io
import os
import socket
import stat
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tether_runtime_client.protocol.errors import TransferError, UnsafeArchive
from tether_runtime_client.protocol.tarheader import FILE, FOLDER, SYMLINK, Member, encode, padding
from tether_runtime_client.protocol.tarstream import (
    Limits,
    Packed,
    Unpacked,
    pack,
    pack_tree,
    unpack,
    unpack_tree,
)

Snapshot = dict[bytes, tuple[object, ...]]


def snapshot(root: Path) -> Snapshot:
    """Everything about a tree that a round trip must keep, the root included."""
    found: Snapshot = {}
    inodes: dict[int, bytes] = {}
    top = os.fsencode(root)
    for folder, folders, files in os.walk(top):
        for name in [b"", *folders, *files] if folder == top else [*folders, *files]:
            path = os.path.join(folder, name) if name else folder
            about = os.lstat(path)
            relative = os.path.relpath(path, top)
            first = inodes.setdefault(about.st_ino, relative)
            found[relative] = (about.st_mode, about.st_mtime_ns, first, _content(path, about))
    return found


def _content(path: bytes, about: os.stat_result) -> bytes:
    if stat.S_ISLNK(about.st_mode):
        return os.readlink(path)
    if stat.S_ISREG(about.st_mode):
        with open(path, "rb") as file:
            return file.read()
    return b""


def packed(path: Path, **options: str) -> tuple[bytes, Packed]:
    stream = io.BytesIO()
    summary = pack(path, stream.write, **options)
    return stream.getvalue(), summary


def unpacked(stream: bytes, path: Path, **options: object) -> Unpacked:
    path.mkdir(exist_ok=True)
    return unpack(io.BytesIO(stream).read, path, **options)  # type: ignore[arg-type]


# Round trips


def make_tree(root: Path) -> Path:
    root.mkdir()
    (root / "folder" / "deep").mkdir(parents=True)
    (root / "empty").mkdir(mode=0o700)
    (root / "folder" / "file").write_bytes(b"content\0\xff")
    (root / "folder" / "program").write_text("#!/bin/sh\n")
    (root / "folder" / "program").chmod(0o751)
    (root / "folder" / "deep" / "other name").write_bytes(b"")
    os.link(root / "folder" / "file", root / "again")
    (root / "link").symlink_to("folder/file")
    (root / "folder" / "up").symlink_to("../empty")
    (root / "dangling").symlink_to("no/such")
    (root / "locked").mkdir()
    (root / "locked" / "inside").write_text("x")
    (root / "locked").chmod(0o555)
    os.utime(root / "folder", ns=(0, 1_234_567_890_123_456_789))
    os.utime(root / "folder" / "file", ns=(0, 987_654_321))
    os.utime(root / "link", ns=(0, -5_000_000_001), follow_symlinks=False)
    return root


def test_round_trip(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source")
    stream, sent = packed(source)
    received = unpacked(stream, tmp_path / "target")
    assert snapshot(tmp_path / "target") == snapshot(source)
    assert (sent.members, sent.files, sent.bytes) == (13, 5, len(stream))
    assert received == Unpacked(sent.members, sent.files, sent.bytes, sent.sha256, ())


def test_same_tree_same_stream(tmp_path: Path) -> None:
    stream, _ = packed(make_tree(tmp_path / "source"))
    unpacked(stream, tmp_path / "target")
    assert packed(tmp_path / "target")[0] == stream


def test_ways_in_with_the_caller_counting(tmp_path: Path) -> None:
    stream = io.BytesIO()
    assert pack_tree(make_tree(tmp_path / "source"), stream.write) == 5
    stream.seek(0)
    (tmp_path / "target").mkdir()
    assert unpack_tree(stream, tmp_path / "target") == 5
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


SIZES = [0, 1, 511, 512, 513, 262_143, 262_144, 262_145, 1_000_000]


def test_sizes_around_every_boundary(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    for size in SIZES:
        (tmp_path / "source" / str(size)).write_bytes(os.urandom(size))
    unpacked(packed(tmp_path / "source")[0], tmp_path / "target")
    assert snapshot(tmp_path / "target") == snapshot(tmp_path / "source")


names = st.binary(min_size=1, max_size=60).filter(
    lambda name: not set(name) & {0, ord("/")} and name not in (b".", b"..")
)
times = st.integers(min_value=-(2**31), max_value=2**31) | st.integers(0, 2**32)
nodes = st.recursive(
    st.one_of(
        st.tuples(st.just("file"), st.binary(max_size=2000), st.integers(0, 0o777)),
        st.tuples(st.just("link"), names, st.just(0)),
        st.tuples(st.just("again"), st.integers(0, 5), st.just(0)),
    ),
    lambda below: st.tuples(
        st.just("folder"), st.dictionaries(names, below, max_size=5), st.integers(0o700, 0o777)
    ),
    max_leaves=15,
)


def grow(path: bytes, node: tuple[str, object, int], files: list[bytes], when: int) -> None:
    kind, content, mode = node
    if kind == "folder":
        os.mkdir(path)
        assert isinstance(content, dict)
        for name, below in content.items():
            grow(os.path.join(path, name), below, files, when)
        os.chmod(path, mode)
    elif kind == "file" or (kind == "again" and not files):
        with open(path, "wb") as file:
            file.write(content if isinstance(content, bytes) else b"")
        os.chmod(path, mode)
        files.append(path)
    elif kind == "again":
        assert isinstance(content, int)
        os.link(files[content % len(files)], path)
    else:
        assert isinstance(content, bytes)
        os.symlink(content, path)
    os.utime(path, ns=(0, when * 1_000_000_007), follow_symlinks=False)


@settings(max_examples=150, deadline=None)
@given(tree=st.dictionaries(names, nodes, max_size=6), when=times)
def test_any_tree_comes_back_as_it_was(
    tree: dict[bytes, tuple[str, object, int]], when: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "source", Path(folder) / "target"
        grow(os.fsencode(source), ("folder", tree, 0o755), [], when)
        unpacked(packed(source)[0], target)
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
    assert sent.skipped == (b"./pipe", b"./socket")
    assert sent.members == 2
    with pytest.raises(OSError, match="neither a file nor a folder"):
        packed(tmp_path / "pipe")


def test_errors_name_the_whole_path(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        packed(tmp_path / "no" / "such")
    assert caught.value.filename == os.fsencode(tmp_path / "no" / "such")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_unreadable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "secret").touch(mode=0o600)
    for path in (tmp_path, *tmp_path.parents[:3]):
        path.chmod(0o755)
    read_end, write_end = os.pipe()
    if os.fork() == 0:
        os.setuid(65534)
        try:
            pack(tmp_path, lambda data: None)
        except PermissionError as error:
            os.write(write_end, str(error.filename).encode())
        os._exit(0)
    os.close(write_end)
    os.wait()
    with open(read_end) as pipe:
        assert pipe.read() == str(tmp_path / "folder" / "secret")


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
    """Numbers beyond the old fields, as our reader and as tarfile see them."""
    from tether_runtime_client.protocol.tarheader import read_member

    stream = io.BytesIO(encode(extreme))
    assert read_member(stream.read) == extreme
    with tarfile.open(fileobj=io.BytesIO(stream.getvalue() + bytes(1024))) as reader:
        found = reader.next()
    assert found is not None
    assert (found.uid, found.gid, found.size) == (extreme.uid, extreme.gid, extreme.size)
    assert os.fsencode(found.name) == extreme.name.rstrip(b"/")
    assert found.mtime == pytest.approx(extreme.mtime_ns / 1e9)


# Hostile archives


def member(
    name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, **fields: object
) -> bytes:
    """One member as an attacker may write it, by tarfile, which checks nothing."""
    info = tarfile.TarInfo(name)
    info.size, info.type = len(content), kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info.tobuf(tarfile.PAX_FORMAT) + content + bytes(padding(len(content)))


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> bytes:
    return member(name, kind=kind, linkname=target)


def folder(name: str, mode: int = 0o755) -> bytes:
    return member(name, kind=tarfile.DIRTYPE, mode=mode)


def archive(*members: bytes) -> bytes:
    return b"".join(members) + bytes(1024)


HOSTILE: dict[str, tuple[bytes, str]] = {
    "climbs": (archive(member("../evil", b"x")), "'../evil' climbs out"),
    "climbs in the middle": (archive(member("a/../../evil", b"x")), "climbs out"),
    "climbs and comes back": (archive(member("a/../b", b"x")), "climbs out"),
    "climbs as a folder": (archive(folder("../evil")), "climbs out"),
    "is absolute": (archive(member("/tmp/evil", b"x")), "absolute name"),
    "is absolute by two slashes": (archive(member("//evil", b"x")), "absolute name"),
    "is the destination": (archive(member(".", b"x")), "destination's own name"),
    "has no name": (archive(member("", b"x")), "destination's own name"),
    "is an absolute link": (archive(link("a", "/etc/passwd")), "'/etc/passwd', which is absolute"),
    "is a climbing link": (archive(link("a", "../x")), "leads out of the destination"),
    "is a deep climbing link": (
        archive(folder("d"), link("d/a", "x/../../../y")),
        "goes up again from something that is no folder",
    ),
    "climbs through a link it brought": (
        archive(link("a", "."), member("a/evil", b"x")),
        "takes something for a folder that is none, or a link",
    ),
    "climbs by two links": (
        archive(folder("d/e"), link("d/e/up", "../.."), link("d/e/out", "up/../x")),
        "goes up again from something that is no folder",
    ),
    "climbs by a link to a folder": (
        archive(folder("d"), folder("d/e"), link("s", "d/e"), link("t", "s/../../x")),
        "goes up again",
    ),
    "makes a folder of a link": (archive(link("a", "b"), folder("a")), "none, or a link"),
    "makes a folder of a file": (archive(member("a"), member("a/b")), "none, or a link"),
    "makes a file of a folder": (archive(folder("a"), member("a", b"x")), "none, or a link"),
    "makes a link of a folder": (archive(folder("a"), link("a", "b")), "none, or a link"),
    "links hard to the outside": (
        archive(link("a", "../secret", tarfile.LNKTYPE)),
        "climbs out of the destination",
    ),
    "links hard to an absolute name": (
        archive(link("a", "/etc/passwd", tarfile.LNKTYPE)),
        "absolute name",
    ),
    "links hard through a link": (
        archive(link("s", "."), link("a", "s/x", tarfile.LNKTYPE)),
        "none, or a link",
    ),
    "links hard to a link": (
        archive(link("s", "x"), link("a", "s", tarfile.LNKTYPE)),
        "which is no file in it",
    ),
    "links hard to a folder": (
        archive(folder("d"), link("a", "d", tarfile.LNKTYPE)),
        "which is no file in it",
    ),
    "links hard to nothing": (archive(link("a", "b", tarfile.LNKTYPE)), "which is no file in it"),
    "links hard to the destination": (
        archive(link("a", ".", tarfile.LNKTYPE)),
        "which is no file in it",
    ),
    "links to an empty target": (archive(link("a", "")), "link to nothing"),
    "has a NUL in its name": (
        archive(member("a", pax_headers={"path": "a\0b"})),
        "has a NUL byte in its name",
    ),
    "has a NUL in its target": (
        archive(member("a", kind=tarfile.SYMTYPE, pax_headers={"linkpath": "a\0b"})),
        "link to nothing",
    ),
    "is a character device": (archive(member("a", kind=tarfile.CHRTYPE)), "a character device"),
    "is a block device": (archive(member("a", kind=tarfile.BLKTYPE)), "a block device"),
    "is a named pipe": (archive(member("a", kind=tarfile.FIFOTYPE)), "a named pipe"),
    "is sparse": (archive(member("a", kind=tarfile.GNUTYPE_SPARSE)), "a sparse file"),
    "is sparse by pax": (
        archive(member("a", pax_headers={"GNU.sparse.major": "1"})),
        "a sparse file",
    ),
    "is of no known type": (archive(member("a", kind=b"Z")), "unknown type b'Z'"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_archive_is_refused_and_names_the_member(tmp_path: Path, case: str) -> None:
    stream, why = HOSTILE[case]
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    before = snapshot(outside)
    with pytest.raises(UnsafeArchive) as caught:
        unpacked(stream, outside / "target")
    assert why in str(caught.value)
    assert repr(caught.value.data["member"]) in str(caught.value)
    assert not list((outside / "target").rglob(".tether*"))
    after = snapshot(outside)
    assert {name: after[name][0] for name in before} == {n: a[0] for n, a in before.items()}
    assert [name for name in after if b"evil" in name] == []


def test_link_that_is_there_already_is_not_followed(tmp_path: Path) -> None:
    target, outside = tmp_path / "target", tmp_path / "outside"
    outside.mkdir()
    target.mkdir()
    (outside / "kept").write_text("kept")
    (target / "way").symlink_to(outside)
    (target / "file").symlink_to(outside / "kept")
    with pytest.raises(UnsafeArchive, match="none, or a link"):
        unpacked(archive(member("way/evil", b"x")), target)
    unpacked(archive(member("file", b"new")), target)
    assert (target / "file").read_bytes() == b"new"
    assert not (target / "file").is_symlink()
    assert (outside / "kept").read_text() == "kept"
    assert os.listdir(outside) == ["kept"]


def test_links_that_stay_inside_are_taken(tmp_path: Path) -> None:
    members = (
        folder("d/e"),
        link("d/e/a", "../../x/y"),
        link("b", "d/e/../z"),
        link("c", "./d//e/./"),
        link("d/up", ".."),
    )
    assert unpacked(archive(*members), tmp_path / "target").members == 5
    assert os.readlink(tmp_path / "target" / "b") == "d/e/../z"


def test_links_that_lead_out_can_be_skipped_or_kept(tmp_path: Path) -> None:
    stream = archive(link("python", "/usr/bin/python3"), link("up", "../x"), member("file"))
    skipped = unpacked(stream, tmp_path / "skipped", escaping_links="skip")
    assert skipped.skipped == (b"python", b"up")
    assert os.listdir(tmp_path / "skipped") == ["file"]
    unpacked(stream, tmp_path / "kept", escaping_links="keep")
    assert os.readlink(tmp_path / "kept" / "python") == "/usr/bin/python3"
    with pytest.raises(UnsafeArchive):
        unpacked(
            archive(link("way", "/tmp"), member("way/evil")),
            tmp_path / "kept",
            escaping_links="keep",
        )


def test_a_target_with_very_many_ups_is_refused_in_no_time(tmp_path: Path) -> None:
    with pytest.raises(UnsafeArchive, match="goes up too often"):
        unpacked(archive(folder("a"), link("b", "a/../" * 800)), tmp_path / "target")


def test_set_id_bits_are_dropped_unless_asked(tmp_path: Path) -> None:
    stream = archive(member("a", mode=0o6755), folder("d", 0o3777))
    for keep, modes in ((False, (0o755, 0o1777)), (True, (0o6755, 0o3777))):
        target = tmp_path / str(keep)
        unpacked(stream, target, keep_set_id=keep)
        found = tuple(stat.S_IMODE((target / name).stat().st_mode) for name in "ad")
        assert found == modes


def test_last_of_several_with_one_name_counts(tmp_path: Path) -> None:
    stream = archive(
        member("a", b"first", mode=0o777),
        link("a", "elsewhere"),
        member("a", b"last", mode=0o600),
        link("b", "a", tarfile.LNKTYPE),
        link("b", "a", tarfile.LNKTYPE),
        link("b", "b", tarfile.LNKTYPE),
    )
    unpacked(stream, tmp_path / "target")
    assert (tmp_path / "target" / "a").read_bytes() == b"last"
    assert stat.S_IMODE((tmp_path / "target" / "a").stat().st_mode) == 0o600
    assert (tmp_path / "target" / "b").samefile(tmp_path / "target" / "a")
    assert sorted(os.listdir(tmp_path / "target")) == ["a", "b"]


def test_a_linked_file_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    stream = archive(
        member("a", b"one"), link("b", "a", tarfile.LNKTYPE), member("b", b"two", mode=0o777)
    )
    unpacked(stream, tmp_path / "target")
    assert (tmp_path / "target" / "a").read_bytes() == b"one"
    assert (tmp_path / "target" / "b").read_bytes() == b"two"


def test_folders_that_forbid_entry(tmp_path: Path) -> None:
    stream = archive(folder("a", 0), folder("a/b", 0), member("a/b/c", b"x"), folder("a", 0o500))
    unpacked(stream, tmp_path / "target")
    assert stat.S_IMODE((tmp_path / "target" / "a").stat().st_mode) == 0o500


def test_absurd_times(tmp_path: Path) -> None:
    stream = archive(
        member("a", pax_headers={"mtime": "9" * 40}), member("b", pax_headers={"mtime": "-1e5"})
    )
    with pytest.raises(TransferError, match="a number that is none"):
        unpacked(stream, tmp_path / "target")
    assert (tmp_path / "target" / "a").stat().st_mtime == pytest.approx(2**33, abs=2**32)


# Cut off, damaged, over the limits


def test_cut_off_anywhere_is_an_error(tmp_path: Path) -> None:
    stream, _ = packed(make_tree(tmp_path / "source"))
    (tmp_path / "half").mkdir()
    for length in (0, 1, 511, 512, 513, 1024, 1500, len(stream) - 1025, len(stream) - 1024):
        with pytest.raises(TransferError, match="ends too early"):
            unpacked(stream[:length], tmp_path / "half")
    assert not list(tmp_path.rglob(".tether*"))


def test_cut_off_in_a_file_leaves_no_half_file(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "big").write_text("old")
    with pytest.raises(TransferError, match="ends too early"):
        unpacked(member("big", b"x" * 1_000_000)[:900_000], tmp_path / "target")
    assert (tmp_path / "target" / "big").read_text() == "old"
    assert os.listdir(tmp_path / "target") == ["big"]


@pytest.mark.parametrize(
    ("stream", "why"),
    [
        (b"x" * 2048, "no tar archive"),
        (b"\x1f\x8b" + b"\0" * 2048, "no tar archive"),
        (bytes(1024) + b"x", "after the end"),
        (member("a")[:512].replace(b"0000644", b"0000645") + bytes(1024), "a checksum"),
        (archive(*[member("a", b"", kind=b"x")] * 20), "one header extension"),
        (archive(member("a", b"12 a=b\n", kind=b"x")), "malformed pax"),
        (archive(member("a", b"0 \n", kind=b"x")), "malformed pax"),
        (archive(member("a", b"x", kind=b"x")), "malformed pax"),
        (archive(member("a", b"9999 a=b\n", kind=b"x")), "malformed pax"),
        (archive(member("a", b"7 a=bc\n", kind=b"g")), "global pax"),
        (archive(member("a", pax_headers={"size": "abc"})), "a number that is none"),
        (archive(member("a", pax_headers={"uid": "abc"})), "a number that is none"),
        (archive(member("a", pax_headers={"size": "-5"})), "negative size"),
    ],
)
def test_damaged_or_no_tar_at_all(tmp_path: Path, stream: bytes, why: str) -> None:
    with pytest.raises(TransferError, match=why):
        unpacked(stream, tmp_path / "target")


def test_huge_extension_is_not_read_into_memory(tmp_path: Path) -> None:
    header = Member(b"x", b"pax", size=2**40)
    block = encode(header)[-512:]
    info = tarfile.TarInfo("pax")
    info.type, info.size = b"x", 2**33 - 1
    with pytest.raises(TransferError, match="more than any path needs"):
        unpacked(info.tobuf(tarfile.USTAR_FORMAT) + bytes(1024), tmp_path / "target")
    assert block


def test_limits(tmp_path: Path) -> None:
    stream = archive(member("a", b"12345"), member("b", b"12345"), link("c", "a"))
    unpacked(stream, tmp_path / "fits", limits=Limits(3, 10))
    with pytest.raises(TransferError, match="more than 2 members"):
        unpacked(stream, tmp_path / "members", limits=Limits(members=2))
    with pytest.raises(TransferError, match="more than 9 bytes"):
        unpacked(stream, tmp_path / "bytes", limits=Limits(total_bytes=9))
    assert os.listdir(tmp_path / "bytes") == ["a"]


def test_too_deep(tmp_path: Path) -> None:
    with pytest.raises(TransferError, match="nests folders more than 400 deep"):
        unpacked(archive(folder("a/" * 401)), tmp_path / "target")


@pytest.mark.parametrize("size", [10_000_000, 100_000_000])
def test_endless_padding_is_bounded(tmp_path: Path, size: int) -> None:
    stream = archive() + bytes(size)
    if size < 16 * 1024 * 1024:
        unpacked(stream, tmp_path / "target")
    else:
        with pytest.raises(TransferError, match="after the end"):
            unpacked(stream, tmp_path / "target")


# The destination


def test_destination_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        unpack(io.BytesIO(archive()).read, tmp_path / "file")
    with pytest.raises(FileNotFoundError):
        unpack(io.BytesIO(archive()).read, tmp_path / "none")


def test_root_attributes_are_optional(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir(mode=0o700)
    unpacked(archive(folder("./", 0o555)), tmp_path / "target", root_attributes=False)
    assert stat.S_IMODE((tmp_path / "target").stat().st_mode) == 0o700
    unpacked(archive(folder("./", 0o755)), tmp_path / "target")
    assert stat.S_IMODE((tmp_path / "target").stat().st_mode) == 0o755


def test_errors_of_the_file_system_name_the_member(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="File name too long") as caught:
        unpacked(archive(member("n" * 300)), tmp_path / "target")
    assert caught.value.filename == "n" * 300


def test_full_disk_leaves_no_half_file(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    target = tmp_path / "small"
    target.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(target)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("this place does not let root mount")
    try:
        with pytest.raises(OSError, match="No space left") as caught:
            unpacked(archive(member("a", b"x" * 500_000), member("b", b"y" * 900_000)), target)
        assert caught.value.filename == "b"
        assert os.listdir(target) == ["a"]
    finally:
        subprocess.run(["umount", str(target)], check=True)


Attack = Callable[[Path], None]


def test_folder_that_becomes_a_link_meanwhile(tmp_path: Path) -> None:
    """Somebody in the destination swaps a folder for a link while the archive comes in."""
    target, outside = tmp_path / "target", tmp_path / "outside"
    target.mkdir()
    outside.mkdir()
    pieces = [folder("d") + member("d/a", b"x"), folder("e") + member("d/b", b"y"), bytes(1024)]

    def read(size: int) -> bytes:
        if len(pieces) == 1 and (target / "d").is_dir():
            (target / "d").rename(target / "moved")
            (target / "d").symlink_to(outside)
        return pieces.pop(0) if pieces else b""

    with pytest.raises(UnsafeArchive):
        unpack(read, target)
    assert os.listdir(outside) == []


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
