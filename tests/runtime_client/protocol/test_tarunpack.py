"""Unpacking what may be hostile, damaged or too much, into places that may be awkward."""

import io
import os
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from tether_runtime_client.protocol.attributes import Receiving
from tether_runtime_client.protocol.errors import TransferError, UnsafeArchive
from tether_runtime_client.protocol.tarstream import Limits, Unpacked, unpack, unpack_tree

from .hostile import HOSTILE, THROUGH_LINKS
from .trees import archive, folder, link, make_tree, member, packed, snapshot, unpacked

# Hostile archives


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_archive_is_refused_and_names_the_member(tmp_path: Path, case: str) -> None:
    stream, why = HOSTILE[case]
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    before = snapshot(outside)
    with pytest.raises(UnsafeArchive) as caught:
        unpacked(stream, outside / "target", receiving=Receiving(xattrs=True))
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


@pytest.mark.parametrize("case", THROUGH_LINKS)
def test_a_kept_link_is_not_followed(tmp_path: Path, case: str) -> None:
    mode = os.stat("/tmp").st_mode
    with pytest.raises(UnsafeArchive, match=r"none, or a link|which is no file in it"):
        unpacked(THROUGH_LINKS[case], tmp_path / "target", receiving=Receiving(links="keep"))
    assert not os.path.lexists("/tmp/tether-planted")
    assert not (tmp_path / "tether-planted").exists()
    assert os.stat("/tmp").st_mode == mode
    assert not (tmp_path / "target" / "mine").exists()


def told(done: Unpacked) -> list[tuple[str, bool]]:
    return [(note.path, note.copied) for note in done.notes]


def test_links_that_lead_out_can_be_skipped_or_kept(tmp_path: Path) -> None:
    stream = archive(link("python", "/usr/bin/python3"), link("up", "../x"), member("file"))
    skipped = unpacked(stream, tmp_path / "skipped", receiving=Receiving(links="skip"))
    assert told(skipped) == [("python", False), ("up", False)]
    assert os.listdir(tmp_path / "skipped") == ["file"]
    kept = unpacked(stream, tmp_path / "kept", receiving=Receiving(links="keep"))
    assert told(kept) == [("python", True), ("up", True)]
    assert os.readlink(tmp_path / "kept" / "python") == "/usr/bin/python3"
    with pytest.raises(UnsafeArchive):
        unpacked(
            archive(link("way", "/tmp"), member("way/evil")),
            tmp_path / "kept",
            receiving=Receiving(links="keep"),
        )


def test_a_target_with_very_many_ups_is_refused_in_no_time(tmp_path: Path) -> None:
    with pytest.raises(UnsafeArchive, match="goes up too often"):
        unpacked(archive(folder("a"), link("b", "a/../" * 800)), tmp_path / "target")


@pytest.mark.parametrize("receiving", [Receiving(), Receiving(owner="keep", xattrs=True)])
def test_set_id_bits_are_dropped(tmp_path: Path, receiving: Receiving) -> None:
    here = {"uid": os.getuid(), "gid": os.getgid()}
    stream = archive(
        member("a", mode=0o6755, **here), member("d", b"", tarfile.DIRTYPE, mode=0o3777, **here)
    )
    unpacked(stream, tmp_path / "target", receiving=receiving)
    found = [stat.S_IMODE((tmp_path / "target" / name).stat().st_mode) for name in "ad"]
    assert found == [0o755, 0o1777]


@pytest.mark.parametrize("number", ["-5", "4294967295", "9" * 30])
@pytest.mark.parametrize("field", ["uid", "gid"])
def test_owners_that_nobody_can_be(tmp_path: Path, field: str, number: str) -> None:
    stream = archive(member("a", pax_headers={field: number}))
    with pytest.raises(UnsafeArchive, match="no such numbers"):
        unpacked(stream, tmp_path / "target", receiving=Receiving(owner="keep"))
    assert os.listdir(tmp_path / "target") == []


@pytest.mark.parametrize("fresh", [False, True])
def test_last_of_several_with_one_name_counts(tmp_path: Path, fresh: bool) -> None:
    stream = archive(
        member("a", b"first", mode=0o777),
        link("a", "elsewhere"),
        member("a", b"last", mode=0o600),
        link("b", "a", tarfile.LNKTYPE),
        link("b", "a", tarfile.LNKTYPE),
        link("b", "b", tarfile.LNKTYPE),
    )
    (tmp_path / "target").mkdir()
    unpack_tree(io.BytesIO(stream), tmp_path / "target", fresh=fresh)
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


def test_cut_off_in_a_fresh_folder_leaves_no_half_file(tmp_path: Path) -> None:
    stream = member("whole", b"x") + member("big", b"x" * 1_000_000)[:900_000]
    with pytest.raises(TransferError, match="ends too early"):
        unpack_tree(io.BytesIO(stream), tmp_path, fresh=True)
    assert os.listdir(tmp_path) == ["whole"]


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
    info = tarfile.TarInfo("pax")
    info.type, info.size = b"x", 2**33 - 1
    with pytest.raises(TransferError, match="more than any path needs"):
        unpacked(info.tobuf(tarfile.USTAR_FORMAT) + bytes(1024), tmp_path / "target")


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
