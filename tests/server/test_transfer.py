"""Files and trees both ways, through whole runtimes and against a hostile sandbox."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import signal
import socket
import stat
import subprocess
import tarfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from pathlib import Path
from zlib import crc32

import pytest
import pytest_asyncio

from tether_runtime_client.protocol import errors as e
from tether_runtime_client.protocol.actions import Action, DownloadAction, UploadAction
from tether_runtime_client.protocol.attributes import FileAttributes
from tether_runtime_client.protocol.bulk import BulkStream, EndFrame, FailFrame, OpenFrame
from tether_runtime_client.protocol.channel import server_channel
from tether_runtime_client.protocol.checksum import Checksum
from tether_runtime_client.protocol.events import ClientStarted, Event, TransferReady
from tether_runtime_client.protocol.observations import ExecObservation, TransferObservation
from tether_server import EventStreamRuntime, passage
from tether_server.answers import raise_error
from tether_server.passage import open_bulk
from tether_server.transfer import Transfers
from tether_server.transfer_rules import Rules
from tether_server.transports import Transport

from ..runtime_client.handlers.conftest import word
from ..runtime_client.protocol.hostile import HOSTILE, THROUGH_LINKS
from .conftest import MakeRuntime

MIB = 1024 * 1024


@pytest_asyncio.fixture
async def local(state_dir: Path) -> AsyncIterator[EventStreamRuntime]:
    async with EventStreamRuntime(None, backend="local") as runtime:
        yield runtime


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def shape(folder: Path, *, folder_times: bool = True) -> dict[bytes, tuple[object, ...]]:
    """All that a transfer has to keep of a tree, by name as bytes."""
    root = os.fsencode(folder)
    found: dict[bytes, tuple[object, ...]] = {}
    for parent, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = os.path.join(parent, name)
            info = os.lstat(path)
            mode, time = stat.S_IMODE(info.st_mode), info.st_mtime_ns
            if stat.S_ISLNK(info.st_mode):
                content: object = os.readlink(path)
            elif stat.S_ISDIR(info.st_mode):
                content = None
                time = time if folder_times else 0
            else:
                content = hashlib.sha256(Path(os.fsdecode(path)).read_bytes()).hexdigest()
            kind = stat.S_IFMT(info.st_mode)
            found[os.path.relpath(path, root)] = (kind, mode, time, content)
    return found


def plant(folder: Path) -> Path:
    """A tree of everything awkward that is allowed."""
    folder.mkdir()
    for name in ("plain", "with space", "-dash", "new\nline", "ünïcödé", "x" * 255, "quote'\"$(x)"):
        (folder / name).write_bytes(os.urandom(len(name)))
    with open(os.fsencode(folder) + b"/not-utf8-\xff\xfe", "wb") as file:
        file.write(b"bytes")
    deep = folder / "deep"
    for _ in range(12):
        deep = deep / ("d" * 60)
    deep.mkdir(parents=True)
    (deep / "bottom").write_text("far down")
    (folder / "empty").mkdir(mode=0o700)
    (folder / "read-only").mkdir()
    (folder / "read-only" / "file").write_text("x")
    (folder / "zero").touch()
    (folder / "big").write_bytes(os.urandom(3 * MIB + 17))
    (folder / "tool").write_text("#!/bin/sh\nexit 3\n")
    (folder / "tool").chmod(0o755)
    (folder / "secret").write_text("s")
    (folder / "secret").chmod(0o600)
    (folder / "link").symlink_to("deep/../plain")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "to-folder").symlink_to("empty")
    os.link(folder / "plain", folder / "same")
    os.utime(folder / "plain", ns=(1, 1_234_567_890_123_456_789))
    (folder / "read-only").chmod(0o555)
    return folder


# --- through whole runtimes


async def test_a_file_up_and_down(make_runtime: MakeRuntime, place: Path) -> None:
    data = os.urandom(1_234_567)
    (place / "file").write_bytes(data)
    (place / "file").chmod(0o750)
    async with make_runtime() as runtime:
        home = (await runtime.exec("mktemp -d")).stdout.decode().strip()
        up = await runtime.upload(place / "file", f"{home}/new/file")
        assert (up.kind, up.bytes, up.files) == ("file", len(data), 1)
        seen = await runtime.exec(f"sha256sum {home}/new/file; stat -c %a {home}/new/file")
        digest, _, mode = seen.stdout.decode().split()
        assert (digest, up.crc32) == (hashlib.sha256(data).hexdigest(), f"{crc32(data):08x}")
        assert mode == "750"
        down = await runtime.download(f"{home}/new/file", place / "back" / "file")
        assert down.crc32 == up.crc32
    assert (place / "back" / "file").read_bytes() == data
    assert stat.S_IMODE((place / "back" / "file").stat().st_mode) == 0o750
    assert everything(place) == ["back", "back/file", "file"]


async def test_a_tree_up_and_down(make_runtime: MakeRuntime, place: Path) -> None:
    source = plant(place / "source")
    async with make_runtime() as runtime:
        home = (await runtime.exec("mktemp -d")).stdout.decode().strip()
        up = await runtime.upload(source, f"{home}/tree")
        assert up.kind == "tree"
        assert (await runtime.exec([f"{home}/tree/tool"])).exit_code == 3
        down = await runtime.download(f"{home}/tree", place / "back")
        assert (down.kind, down.files) == ("tree", up.files)
        assert shape(place / "back") == shape(source)
        await runtime.download(f"{home}/tree", place / "back")  # now it is merged
        assert shape(place / "back", folder_times=False) == shape(source, folder_times=False)
    back = place / "back"
    assert (back / "plain").stat().st_ino == (back / "same").stat().st_ino


async def test_errors_are_the_same_and_say_which_side(
    make_runtime: MakeRuntime, place: Path
) -> None:
    (place / "file").write_text("x")
    (place / "folder").mkdir()
    async with make_runtime() as runtime:
        home = (await runtime.exec("mktemp -d")).stdout.decode().strip()
        await runtime.exec(f"mkdir {home}/folder; echo x > {home}/file; ln -s no {home}/dangling")
        with pytest.raises(e.FileMissing, match="on this machine"):
            await runtime.upload(place / "missing", f"{home}/x")
        with pytest.raises(e.FileMissing, match="in the sandbox"):
            await runtime.download(f"{home}/missing", place / "x")
        with pytest.raises(e.DanglingLink):
            await runtime.download(f"{home}/dangling", place / "x")
        with pytest.raises(e.PathIsADirectory):
            await runtime.upload(place / "file", f"{home}/folder")
        with pytest.raises(e.PathIsADirectory):
            await runtime.download(f"{home}/file", place / "folder")
        with pytest.raises(e.PathNotADirectory):
            await runtime.upload(place / "folder", f"{home}/file")
        with pytest.raises(e.PathNotADirectory):
            await runtime.download(f"{home}/folder", place / "file")
        left = await runtime.exec(f"find {home} | sort")
    found = [line.removeprefix(home) for line in left.stdout.decode().split()]
    assert found == ["", "/dangling", "/file", "/folder"]
    assert everything(place) == ["file", "folder"]
    assert (place / "file").read_text() == "x"


@pytest.mark.engine
async def test_what_another_user_may_not_touch(debian: str, place: Path) -> None:
    (place / "file").write_text("x")
    (place / "file").chmod(0o600)
    async with EventStreamRuntime(debian, user="65534:65534") as runtime:
        with pytest.raises(e.PathUnreadable, match="in the sandbox"):
            await runtime.download("/etc/shadow", place / "x")
        with pytest.raises(e.PathUnreadable, match=r"/etc/.*in the sandbox"):
            await runtime.download("/etc", place / "x")
        with pytest.raises(e.PathUnreadable):
            await runtime.upload(place / "file", "/root/x")
        with pytest.raises(e.PathUnreadable):
            await runtime.upload(place / "file", "/etc/passwd")
        await runtime.upload(place / "file", "/tmp/mine")
        seen = await runtime.exec("stat -c '%u %a' /tmp/mine")
        assert seen.stdout == b"65534 600\n"
        with pytest.raises(e.UnknownUser):
            await runtime.exec(["true"], user="root")
    assert everything(place) == ["file"]


def write_zeros(path: Path, size: int) -> None:
    """A file of zeros without holes: all of them have to cross."""
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)


def peak_growth(pid: int | str, before: int) -> int:
    """How far the process's resident memory has risen above `before`, at its highest; in MiB."""
    return memory(pid, "VmHWM") - before


def memory(pid: int | str, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) // 1024
    raise AssertionError(field)


def forget_peak(pid: int | str) -> int:
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return memory(pid, "VmRSS")


def client_pid(runtime: EventStreamRuntime) -> int:
    started = [event for event in runtime.events.since(0) if isinstance(event, ClientStarted)]
    return started[-1].pid


async def test_two_hundred_megabytes_in_flat_memory(local: EventStreamRuntime, place: Path) -> None:
    checksum = Checksum()
    with (place / "big").open("wb") as file:
        for _ in range(200):
            block = os.urandom(MIB)
            checksum.update(block)
            file.write(block)
    client = client_pid(local)
    here, there = forget_peak("self"), forget_peak(client)
    calls: list[tuple[int, int | None]] = []
    up = await local.upload(
        place / "big", str(place / "up"), progress=lambda done, total: calls.append((done, total))
    )
    assert (up.bytes, up.crc32) == (200 * MIB, str(checksum))
    assert calls[-1] == (200 * MIB, 200 * MIB)
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})
    calls.clear()
    down = await local.download(
        str(place / "up"), place / "down", progress=lambda done, total: calls.append((done, total))
    )
    assert down.crc32 == up.crc32
    assert calls[-1] == (200 * MIB, 200 * MIB)
    assert peak_growth("self", here) < 40
    assert peak_growth(client, there) < 40


async def test_many_at_once(local: EventStreamRuntime, place: Path) -> None:
    for number in range(30):
        (place / f"{number}").write_bytes(os.urandom(300_000))
    ups = (local.upload(place / f"{n}", str(place / "up" / f"{n}")) for n in range(30))
    await asyncio.gather(*ups)
    downs = (local.download(str(place / "up" / f"{n}"), place / f"down{n}") for n in range(30))
    await asyncio.gather(*downs)
    for number in range(30):
        assert (place / f"down{number}").read_bytes() == (place / f"{number}").read_bytes()


async def test_full_disks_on_either_side(
    local: EventStreamRuntime, place: Path, small_disk: Path
) -> None:
    (place / "tree").mkdir()
    (place / "tree" / "big").write_bytes(os.urandom(5 * MIB))
    for source in (place / "tree" / "big", place / "tree"):
        with pytest.raises(e.DiskFull, match="in the sandbox"):
            await local.upload(source, str(small_disk / "a" / "b"))
        with pytest.raises(e.DiskFull, match="this machine"):
            await local.download(str(source), small_disk / "a" / "b")
        assert everything(small_disk) == []
    await local.upload(place / "tree" / "big", str(place / "fits"))


async def test_cancelling_leaves_nothing(local: EventStreamRuntime, place: Path) -> None:
    write_zeros(place / "big", 500 * MIB)
    (place / "target").mkdir()
    for start in (
        lambda progress: local.upload(
            place / "big", str(place / "target" / "x"), progress=progress
        ),
        lambda progress: local.download(
            str(place / "big"), place / "target" / "x", progress=progress
        ),
    ):
        begun = asyncio.Event()
        task = asyncio.create_task(start(lambda done, total: begun.set()))  # noqa: B023
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await local.exec(["true"])
        failed = [event for event in local.events.since(0) if getattr(event, "code", "")]
        assert failed == [] or failed[-1].code == "action_cancelled"
    async with asyncio.timeout(20):
        async for event in local.events.subscribe():  # both have ended in the sandbox too
            if getattr(event, "code", "") == "action_cancelled":
                break
    assert everything(place / "target") == []


async def test_a_cut_of_the_event_connection_does_not_matter(
    local: EventStreamRuntime, place: Path
) -> None:
    (place / "big").write_bytes(os.urandom(50 * MIB))

    def cut_once(done: int, total: int | None) -> None:
        if done <= 256 * 1024:
            local.cut_connection()

    up = await local.upload(place / "big", str(place / "up"), progress=cut_once)
    down = await local.download(str(place / "up"), place / "down", progress=cut_once)
    assert up.crc32 == down.crc32


async def test_a_client_that_dies_in_the_middle(local: EventStreamRuntime, place: Path) -> None:
    write_zeros(place / "big", 500 * MIB)
    client = client_pid(local)

    def kill_once(done: int, total: int | None) -> None:
        if done == 256 * 1024:
            os.kill(client, signal.SIGKILL)

    with pytest.raises(e.ActionError) as caught:
        await local.download(str(place / "big"), place / "down", progress=kill_once)
    assert isinstance(caught.value, e.ActionLost | e.TransferError)
    assert everything(place) == ["big"]


async def test_a_bulk_connection_with_a_wrong_ticket(local: EventStreamRuntime) -> None:
    assert local._link is not None
    stream = await open_bulk(local._link.transport, "no such ticket")
    async with asyncio.timeout(20):
        while (message := await stream.read()) is not None:
            assert isinstance(message, FailFrame), "nothing but the reason comes"


# --- against a sandbox that is not to be trusted


class Pipe(Transport):
    """A transport whose other end is the test's."""

    name = "pipe"

    def __init__(self) -> None:
        self.peer: asyncio.Future[BulkStream] = asyncio.get_running_loop().create_future()

    async def connect(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        stream = BulkStream()
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: server_channel(lambda _: stream), sock=theirs)
        self.peer.set_result(stream)
        return ours

    def describe(self) -> str:
        return "a test"


class Sandbox:
    """A peer that says and sends what it is told to."""

    def __init__(self) -> None:
        self.pipe = Pipe()
        self.transfers = Transfers(self._follow, self.pipe)
        self.ready = TransferReady(
            ticket="t", kind="file", size=None, attributes=FileAttributes(mode=0o644)
        )
        self.final: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self.asked: list[Action] = []

    async def _follow(self, action: Action) -> AsyncGenerator[Event, None]:
        self.asked.append(action)
        yield self.ready
        event = await asyncio.shield(self.final)
        if not isinstance(event, TransferObservation):
            raise_error(event)  # type: ignore[arg-type]
        yield event

    async def stream(self) -> BulkStream:
        stream = await self.pipe.peer
        assert await stream.read() == OpenFrame(ticket="t")
        return stream

    def end(self, data: bytes, **changes: object) -> None:
        seen = end_of(data)
        observation = TransferObservation(
            path="x", kind="file", bytes=seen.bytes, crc32=seen.crc32, files=1
        )
        self.final.set_result(observation.model_copy(update=changes))


def end_of(data: bytes) -> EndFrame:
    return EndFrame(bytes=len(data), crc32=f"{crc32(data):08x}")


@pytest_asyncio.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    sandbox = Sandbox()
    yield sandbox
    if sandbox.pipe.peer.done():
        sandbox.pipe.peer.result().abort("the test is over")


def archive(*members: tuple[str, bytes, dict[str, object]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data, fields in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for field, value in fields.items():
                setattr(info, field, value)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@pytest.mark.parametrize("case", [*HOSTILE, *THROUGH_LINKS])
@pytest.mark.parametrize("exists", [False, True])
async def test_a_hostile_archive(sandbox: Sandbox, place: Path, case: str, exists: bool) -> None:
    (place / "victim").write_text("secret")
    if exists:
        (place / "target").mkdir()
    before = everything(place)
    sandbox.ready = sandbox.ready.model_copy(update={"kind": "tree"})
    rules = Rules(links="keep" if case in THROUGH_LINKS else "refuse", xattrs=True)
    data = HOSTILE[case][0] if case in HOSTILE else THROUGH_LINKS[case]
    download = sandbox.transfers.download("/x", place / "target", rules=rules)
    task = asyncio.create_task(download)
    stream = await sandbox.stream()
    await stream.write(data)
    stream.send(end_of(data))
    sandbox.end(data)
    with pytest.raises(e.UnsafeArchive):
        await task
    assert everything(place) == before
    assert (place / "victim").stat().st_nlink == 1
    assert not os.path.lexists("/tmp/tether-planted")
    assert isinstance(await word(stream), FailFrame)


async def test_a_merge_does_not_follow_the_users_links(sandbox: Sandbox, place: Path) -> None:
    (place / "elsewhere").mkdir()
    (place / "target").mkdir()
    (place / "target" / "latest").symlink_to("../elsewhere")
    sandbox.ready = sandbox.ready.model_copy(update={"kind": "tree"})
    data = archive(("latest", b"", {"type": tarfile.DIRTYPE}), ("latest/planted", b"x", {}))
    task = asyncio.create_task(sandbox.transfers.download("/x", place / "target"))
    stream = await sandbox.stream()
    await stream.write(data)
    stream.send(end_of(data))
    sandbox.end(data)
    with pytest.raises(e.PathNotADirectory):
        await task
    assert everything(place) == ["elsewhere", "target", "target/latest"]


async def test_more_than_was_announced(sandbox: Sandbox, place: Path) -> None:
    sandbox.ready = sandbox.ready.model_copy(update={"size": 10})
    task = asyncio.create_task(sandbox.transfers.download("/x", place / "file"))
    stream = await sandbox.stream()
    await stream.write(b"12345678901")
    sandbox.end(b"12345678901")
    with pytest.raises(e.TransferError, match="more came than the 10 bytes"):
        await task
    assert everything(place) == []


async def test_set_id_bits_are_not_taken_over(sandbox: Sandbox, place: Path) -> None:
    sandbox.ready = sandbox.ready.model_copy(update={"attributes": FileAttributes(mode=0o6777)})
    task = asyncio.create_task(sandbox.transfers.download("/x", place / "file"))
    stream = await sandbox.stream()
    await stream.write(b"x")
    stream.send(end_of(b"x"))
    assert await word(stream) == end_of(b"x")
    sandbox.end(b"x")
    await task
    assert stat.S_IMODE((place / "file").stat().st_mode) == 0o777


@pytest.mark.parametrize("how", ["cut", "closed", "lies about the sum", "gives up"])
async def test_a_download_that_breaks_off(sandbox: Sandbox, place: Path, how: str) -> None:
    (place / "file").write_text("old")
    task = asyncio.create_task(sandbox.transfers.download("/x", place / "file"))
    stream = await sandbox.stream()
    await stream.write(b"half")
    if how == "cut":
        stream.abort("cut")
    elif how == "closed":
        stream.close()
    elif how == "gives up":
        stream.send(FailFrame(message="it vanished"))
    else:
        stream.send(end_of(b"other"))
    reason = e.PathUnreadable("the sandbox's reason") if how == "gives up" else None
    sandbox.end(b"half") if reason is None else sandbox.final.set_exception(reason)
    with pytest.raises(e.TransferError if reason is None else e.PathUnreadable):
        await task
    assert everything(place) == ["file"]
    assert (place / "file").read_text() == "old"


async def test_an_answer_that_does_not_agree(sandbox: Sandbox, place: Path) -> None:
    (place / "file").write_text("data")
    task = asyncio.create_task(sandbox.transfers.upload(place / "file", "/x"))
    stream = await sandbox.stream()
    assert await stream.read() == b"data"
    assert await stream.read() == end_of(b"data")
    stream.send(end_of(b"data"))
    sandbox.end(b"data", crc32="00000000")
    with pytest.raises(e.TransferError, match="do not agree"):
        await task
    (asked,) = sandbox.asked
    assert isinstance(asked, UploadAction)


async def test_a_sandbox_that_cannot_be_reached(
    sandbox: Sandbox, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passage, "FIRST_CONNECTION_TIMEOUT_S", 0.1)

    class Gone(Pipe):
        async def connect(self) -> socket.socket:
            raise ConnectionRefusedError(111, "Connection refused")

    transfers = Transfers(sandbox._follow, Gone())
    with pytest.raises(e.TransferError, match="Connection refused"):
        await transfers.download("/x", place / "file")


def half_kept(**fields: object) -> ExecObservation:
    known = {"exit_code": 5, "stdout": b"abc", "stdout_bytes": 10, "stdout_path": "/run/out"}
    return ExecObservation.model_validate(known | fields)


async def test_long_output_is_fetched(sandbox: Sandbox) -> None:
    task = asyncio.create_task(sandbox.transfers.complete(half_kept()))
    stream = await sandbox.stream()
    await stream.write(b"abcdefghij")
    stream.send(end_of(b"abcdefghij"))
    sandbox.end(b"abcdefghij")
    assert (await task).stdout == b"abcdefghij"
    assert sandbox.asked == [DownloadAction(path="/run/out")]


async def test_output_longer_than_it_says(sandbox: Sandbox) -> None:
    task = asyncio.create_task(sandbox.transfers.complete(half_kept()))
    stream = await sandbox.stream()
    await stream.write(b"abcdefghij and more")
    sandbox.end(b"")
    with pytest.raises(e.TransferError, match="more came"):
        await task


async def test_short_output_is_not_fetched(sandbox: Sandbox) -> None:
    observation = half_kept(stdout_bytes=3, stdout_path=None)
    assert await sandbox.transfers.complete(observation) == observation
    assert sandbox.asked == []


async def test_output_that_was_not_kept(sandbox: Sandbox) -> None:
    with pytest.raises(e.DiskFull, match="exit code 5") as caught:
        await sandbox.transfers.complete(half_kept(stdout_path=None))
    assert caught.value.data == {"exit_code": 5, "stream": "stdout"}
