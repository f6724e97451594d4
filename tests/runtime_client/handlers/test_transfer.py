"""Upload and download actions: whole under the final name, or not there at all."""

from __future__ import annotations

import asyncio
import io
import os
import stat
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal
from zlib import crc32

import pytest

from tether_runtime_client import tickets as tickets_module
from tether_runtime_client.handlers import transfer as transfer_module
from tether_runtime_client.handlers.transfer import Transfers
from tether_runtime_client.protocol import errors as e
from tether_runtime_client.protocol.actions import DownloadAction, UploadAction
from tether_runtime_client.protocol.attributes import FileAttributes
from tether_runtime_client.protocol.bulk import BulkStream, EndFrame, FailFrame, ResizeFrame

from ..protocol.hostile import HOSTILE, THROUGH_LINKS
from .conftest import Desk, word


@pytest.fixture
def transfers(desk: Desk) -> Transfers:
    return Transfers(desk.tickets)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost connection is waited for only for a moment."""
    monkeypatch.setattr(transfer_module, "RESUME_TIMEOUT_S", 0.1)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


def end_of(data: bytes, **changes: object) -> EndFrame:
    frame = EndFrame(bytes=len(data), crc32=f"{crc32(data):08x}")
    return frame.model_copy(update=changes)


async def received(stream: BulkStream) -> tuple[bytes, EndFrame]:
    """What a download sends, up to its end."""
    data = b""
    async with asyncio.timeout(20):
        while isinstance(message := await word(stream), bytes):
            data += message
    assert isinstance(message, EndFrame), message
    return data, message


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """A tar with the given members, whatever they are."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info


# --- uploads


async def test_a_file_comes_whole(desk: Desk, transfers: Transfers, place: Path) -> None:
    data = os.urandom(700_001)
    action = UploadAction(
        path=str(place / "new" / "deep" / "file"), attributes=FileAttributes(mode=0o751)
    )
    async with desk.answer(transfers.upload(action, desk.context())) as (task, stream, ready):
        assert (ready.kind, ready.action_id) == ("file", "a1")
        for start in range(0, len(data), 100_000):
            await stream.write(data[start : start + 100_000])
        assert everything(place / "new" / "deep") != ["file"], "not before its end"
        stream.send(end_of(data))
        assert await word(stream) == end_of(data), "the receiver confirms"
        seen = await task
    assert (seen.bytes, seen.crc32, seen.files) == (len(data), end_of(data).crc32, 1)
    target = place / "new" / "deep" / "file"
    assert target.read_bytes() == data
    assert stat.S_IMODE(target.stat().st_mode) == 0o751
    assert everything(place) == ["new", "new/deep", "new/deep/file"]


async def upload(desk: Desk, transfers: Transfers, action: UploadAction, data: bytes) -> None:
    async with desk.answer(transfers.upload(action, desk.context())) as (task, stream, _):
        await stream.write(data)
        stream.send(end_of(data))
        await task


@pytest.mark.parametrize(("given", "then"), [(None, 0o640), (0o700, 0o700)])
async def test_an_existing_file_is_replaced(
    desk: Desk, transfers: Transfers, place: Path, given: int | None, then: int
) -> None:
    target = place / "file"
    target.write_text("old and longer")
    target.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(target, 65534, 65534)
    was = target.stat()
    await upload(
        desk,
        transfers,
        UploadAction(path=str(target), attributes=FileAttributes(mode=given)),
        b"new",
    )
    now = target.stat()
    assert target.read_bytes() == b"new"
    assert (now.st_uid, now.st_gid, stat.S_IMODE(now.st_mode)) == (was.st_uid, was.st_gid, then)


async def test_a_new_file_without_a_mode_gets_the_usual_one(
    desk: Desk, transfers: Transfers, place: Path
) -> None:
    await upload(desk, transfers, UploadAction(path=str(place / "file")), b"")
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((place / "file").stat().st_mode) == 0o666 & ~umask


async def test_a_link_stays_a_link(desk: Desk, transfers: Transfers, place: Path) -> None:
    (place / "real").write_text("old")
    (place / "link").symlink_to("real")
    await upload(desk, transfers, UploadAction(path=str(place / "link")), b"new")
    assert (place / "link").is_symlink()
    assert (place / "real").read_bytes() == b"new"
    assert everything(place) == ["link", "real"]


@pytest.mark.parametrize(
    ("name", "kind", "error"),
    [
        ("folder", "file", e.PathIsADirectory),
        ("link-to-folder", "file", e.PathIsADirectory),
        ("fifo", "file", e.FileAlreadyExists),
        ("dangling", "file", e.DanglingLink),
        ("dangling", "tree", e.DanglingLink),
        ("file/below", "file", e.PathNotADirectory),
        ("file/below", "tree", e.PathNotADirectory),
        ("file", "tree", e.PathNotADirectory),
        ("circle", "file", e.FileError),
    ],
)
async def test_what_stands_in_the_way_of_an_upload(
    desk: Desk, transfers: Transfers, place: Path, name: str, kind: str, error: type[e.FileError]
) -> None:
    (place / "folder").mkdir()
    (place / "link-to-folder").symlink_to("folder")
    (place / "file").write_text("stays")
    (place / "dangling").symlink_to("nowhere")
    (place / "circle").symlink_to("circle")
    os.mkfifo(place / "fifo")
    before = everything(place)
    action = UploadAction.model_validate({"path": str(place / name), "kind": kind})
    async with desk.answer(transfers.upload(action, desk.context())) as (task, stream, _):
        told = await word(stream)
        with pytest.raises(error) as caught:
            await task
        assert isinstance(told, FailFrame)
        assert told.message == caught.value.message
    assert str(place) in caught.value.data["path"]
    assert everything(place) == before
    assert (place / "file").read_text() == "stays"


async def spoil(stream: BulkStream, how: str) -> None:
    await stream.write(b"half")
    if how == "cut":
        stream.abort("cut")
    elif how == "closed":
        stream.close()
    elif how == "given up":
        stream.send(FailFrame(message="the disk caught fire"))
    elif how == "wrong sum":
        stream.send(end_of(b"half", crc32="00000000"))
    elif how == "wrong size":
        stream.send(end_of(b"half", bytes=5))
    else:
        stream.send(ResizeFrame(rows=1, cols=1))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", ["file", "tree"])
@pytest.mark.parametrize(
    "how", ["cut", "closed", "given up", "wrong sum", "wrong size", "out of place"]
)
async def test_an_upload_that_fails_leaves_nothing(
    desk: Desk, transfers: Transfers, place: Path, kind: str, how: str
) -> None:
    action = UploadAction.model_validate({"path": str(place / "a" / "b"), "kind": kind})
    async with desk.answer(transfers.upload(action, desk.context())) as (task, stream, _):
        await spoil(stream, how)
        with pytest.raises(e.TransferError):
            await task
    assert everything(place) == []


@pytest.mark.usefixtures("impatient")
async def test_an_upload_that_fails_keeps_what_was_there(
    desk: Desk, transfers: Transfers, place: Path
) -> None:
    (place / "file").write_text("old")
    action = UploadAction(path=str(place / "file"))
    async with desk.answer(transfers.upload(action, desk.context())) as (task, stream, _):
        await spoil(stream, "cut")
        with pytest.raises(e.TransferError, match="no bulk connection came"):
            await task
    assert (place / "file").read_text() == "old"
    assert everything(place) == ["file"]


@pytest.mark.parametrize("kind", ["file", "tree"])
async def test_a_cancelled_upload_leaves_nothing(
    desk: Desk, transfers: Transfers, place: Path, kind: str
) -> None:
    action = UploadAction.model_validate({"path": str(place / "a" / "b"), "kind": kind})
    async with desk.answer(transfers.upload(action, desk.context())) as (task, stream, _):
        await stream.write(archive((member("x"), b"1" * 5000))[:2000])
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert everything(place) == []


async def pour(stream: BulkStream, data: bytes) -> None:
    """Write and write, until that fails."""
    while True:
        piece, data = data[:100_000], data[100_000:]
        await stream.write(piece or bytes(100_000))
        await asyncio.sleep(0)


async def test_a_full_disk(
    desk: Desk, transfers: Transfers, place: Path, small_disk: Callable[[Path], Path]
) -> None:
    disk = small_disk(place / "disk")
    for kind in ("file", "tree"):
        action = UploadAction.model_validate({"path": str(disk / "a" / "b"), "kind": kind})
        async with desk.answer(transfers.upload(action, desk.context())) as (task, stream, _):
            with pytest.raises(e.TransferError):  # the client closes when its disk is full
                await pour(stream, archive((member("big"), bytes(4_000_000))))
            with pytest.raises(e.DiskFull) as caught:
                await task
            assert "sandbox" in str(caught.value)
        assert everything(disk) == []


async def test_a_read_only_place(
    desk: Desk, transfers: Transfers, place: Path, small_disk: Callable[[Path], Path]
) -> None:
    disk = small_disk(place / "disk")
    await asyncio.to_thread(
        subprocess.run, ["mount", "-o", "remount,ro", disk], check=True, timeout=10
    )
    action = UploadAction(path=str(disk / "file"))
    async with desk.answer(transfers.upload(action, desk.context())) as (task, _stream, _):
        with pytest.raises(e.ReadOnlyFileSystem):
            await task


async def test_a_ticket_that_nobody_uses(
    desk: Desk, transfers: Transfers, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tickets_module, "TICKET_TIMEOUT_S", 0.1)
    with pytest.raises(e.TransferError, match="no bulk connection came"):
        await transfers.upload(UploadAction(path=str(place / "x")), desk.context())
    assert everything(place) == []


@pytest.mark.parametrize("path", ["", "a\0b"])
async def test_what_is_no_path(desk: Desk, transfers: Transfers, path: str) -> None:
    with pytest.raises(e.InvalidAction):
        await transfers.upload(UploadAction(path=path), desk.context())
    with pytest.raises(e.InvalidAction):
        await transfers.download(DownloadAction(path=path), desk.context())
    assert desk.events == []


# --- trees, uploaded


@pytest.mark.parametrize("case", [*HOSTILE, *THROUGH_LINKS])
@pytest.mark.parametrize("exists", [False, True])
async def test_a_hostile_archive_leaves_nothing(
    desk: Desk, transfers: Transfers, place: Path, case: str, exists: bool
) -> None:
    (place / "victim").write_text("secret")
    if exists:
        (place / "target").mkdir()
    before = everything(place)
    links: Literal["refuse", "keep"] = "keep" if case in THROUGH_LINKS else "refuse"
    action = UploadAction(path=str(place / "target"), kind="tree", links=links, xattrs=True)
    data = HOSTILE[case][0] if case in HOSTILE else THROUGH_LINKS[case]
    async with desk.answer(transfers.upload(action, desk.context())) as (task, stream, _):
        await stream.write(data)
        stream.send(end_of(data))
        with pytest.raises(e.UnsafeArchive):
            await task
    assert everything(place) == before
    assert (place / "victim").stat().st_nlink == 1
    assert not os.path.lexists("/tmp/tether-planted")


async def test_a_tree_is_merged_into_a_folder(
    desk: Desk, transfers: Transfers, place: Path
) -> None:
    (place / "both").mkdir(mode=0o711)
    (place / "both" / "old").write_text("old")
    (place / "both" / "changed").write_text("old")
    (place / "stays").write_text("stays")
    data = archive(
        (member("both", tarfile.DIRTYPE, mode=0o755), b""),
        (member("both/changed", mode=0o600), b"new"),
        (member("both/new"), b"new"),
        (member("other", tarfile.DIRTYPE, mode=0o500), b""),
        (member("link", tarfile.SYMTYPE, linkname="stays"), b""),
    )
    action = UploadAction(path=str(place), kind="tree")
    await upload(desk, transfers, action, data)
    names = ["both", "both/changed", "both/new", "both/old", "link", "other", "stays"]
    assert everything(place) == names
    assert (place / "both" / "changed").read_text() == "new"
    assert (place / "link").read_text() == "stays"
    assert stat.S_IMODE((place / "both").stat().st_mode) == 0o711, "what was there stays"
    assert stat.S_IMODE((place / "other").stat().st_mode) == 0o500


@pytest.mark.parametrize(
    ("there", "comes", "error"),
    [("folder", "file", e.PathIsADirectory), ("file", "folder", e.PathNotADirectory)],
)
async def test_a_tree_that_cannot_be_merged_changes_nothing(
    desk: Desk, transfers: Transfers, place: Path, there: str, comes: str, error: type[e.FileError]
) -> None:
    (place / "a").write_text("old")
    if there == "folder":
        (place / "z").mkdir()
    else:
        (place / "z").write_text("old")
    last = member("z") if comes == "file" else member("z", tarfile.DIRTYPE, mode=0o755)
    data = archive((member("a"), b"new"), (last, b""))
    action = UploadAction(path=str(place), kind="tree")
    with pytest.raises(error, match="/z is"):
        await upload(desk, transfers, action, data)
    assert everything(place) == ["a", "z"]
    assert (place / "a").read_text() == "old"


async def test_a_tree_whose_top_cannot_be_written(
    desk: Desk, transfers: Transfers, place: Path
) -> None:
    data = archive(
        (member(".", tarfile.DIRTYPE, mode=0o555), b""),
        (member("sub", tarfile.DIRTYPE, mode=0o555), b""),
        (member("sub/file", mode=0o444), b"x"),
    )
    for target in (place / "new", place / "new"):  # made, then merged into
        await upload(desk, transfers, UploadAction(path=str(target), kind="tree"), data)
        assert everything(place) == ["new", "new/sub", "new/sub/file"]
        assert stat.S_IMODE((place / "new").stat().st_mode) == 0o555


# --- downloads


async def test_a_download_is_announced_and_confirmed(
    desk: Desk, transfers: Transfers, place: Path
) -> None:
    data = os.urandom(1_000_003)
    (place / "file").write_bytes(data)
    (place / "file").chmod(0o741)
    (place / "link").symlink_to("file")
    action = DownloadAction(path=str(place / "link"))
    async with desk.answer(transfers.download(action, desk.context())) as (task, stream, ready):
        assert (ready.kind, ready.size) == ("file", len(data))
        assert ready.attributes is not None
        assert ready.attributes.mode == 0o741
        seen, end = await received(stream)
        assert (seen, end) == (data, end_of(data))
        assert not task.done(), "it is not whole before the receiver says so"
        stream.send(end)
        assert (await task).crc32 == end.crc32


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("answer", ["close", "cut", "give up"])
async def test_a_download_that_is_not_confirmed_has_failed(
    desk: Desk, transfers: Transfers, place: Path, answer: str
) -> None:
    (place / "file").write_bytes(b"x")
    action = DownloadAction(path=str(place / "file"))
    async with desk.answer(transfers.download(action, desk.context())) as (task, stream, _):
        await received(stream)
        if answer == "give up":
            stream.send(FailFrame(message="no room here"))
        elif answer == "close":
            stream.close()
        else:
            stream.abort("cut")
        with pytest.raises(
            e.TransferError, match="no room here" if answer == "give up" else "no bulk connection"
        ):
            await task


async def test_a_receiver_that_gives_up_in_the_middle(
    desk: Desk, transfers: Transfers, place: Path
) -> None:
    with (place / "file").open("wb") as file:
        file.truncate(100_000_000)
    action = DownloadAction(path=str(place / "file"))
    async with desk.answer(transfers.download(action, desk.context())) as (task, stream, _):
        await stream.read()
        stream.send(FailFrame(message="no room here"))
        stream.close()
        while await stream.read() is not None:
            continue
        with pytest.raises(e.TransferError, match="no room here"):
            await task


async def test_a_growing_file_is_sent_as_it_was(
    desk: Desk, transfers: Transfers, place: Path
) -> None:
    (place / "log").write_bytes(b"a" * 300_000)
    action = DownloadAction(path=str(place / "log"))
    async with desk.answer(transfers.download(action, desk.context())) as (_, stream, ready):
        with (place / "log").open("ab") as log:
            log.write(b"b" * 10)
        seen, end = await received(stream)
        assert (len(seen), end.bytes, ready.size) == (300_000, 300_000, 300_000)
        assert b"b" not in seen


async def test_a_file_the_kernel_makes_up(desk: Desk, transfers: Transfers) -> None:
    action = DownloadAction(path="/proc/self/status")
    async with desk.answer(transfers.download(action, desk.context())) as (_, stream, ready):
        assert ready.size is None
        seen, _end = await received(stream)
        assert b"VmRSS" in seen


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("missing", e.FileMissing),
        ("missing/below", e.FileMissing),
        ("file/below", e.PathNotADirectory),
        ("dangling", e.DanglingLink),
        ("circle", e.FileError),
        ("fifo", e.FileAlreadyExists),
    ],
)
async def test_what_cannot_be_downloaded(
    desk: Desk, transfers: Transfers, place: Path, name: str, error: type[e.FileError]
) -> None:
    (place / "file").write_text("x")
    (place / "dangling").symlink_to("nowhere")
    (place / "circle").symlink_to("circle")
    os.mkfifo(place / "fifo")
    with pytest.raises(error) as caught:
        await transfers.download(DownloadAction(path=str(place / name)), desk.context())
    assert caught.value.data["path"] == str(place / name)
    assert desk.events == []


async def test_a_tree_is_sent_as_tar(desk: Desk, transfers: Transfers, place: Path) -> None:
    (place / "sub").mkdir()
    (place / "sub" / "file").write_text("x")
    (place / "link").symlink_to("sub/file")
    action = DownloadAction(path=str(place))
    async with desk.answer(transfers.download(action, desk.context())) as (task, stream, ready):
        assert (ready.kind, ready.size) == ("tree", None)
        seen, end = await received(stream)
        with tarfile.open(fileobj=io.BytesIO(seen)) as tar:
            names = {info.name.removeprefix("./") for info in tar}
        assert names == {".", "sub", "sub/file", "link"}
        stream.send(end)
        assert (await task).files == 1
