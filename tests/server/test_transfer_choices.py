"""Files and trees up, down and from sandbox to sandbox: what is kept, chosen, told and refused."""

from __future__ import annotations

import itertools
import os
import shutil
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from zlib import crc32

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings

from tether_runtime_client.protocol import errors as e
from tether_server import EventStreamRuntime

from ..places import PLACES, Places
from ..runtime_client.protocol.grown import Tree, grow, targets, times, trees
from ..runtime_client.protocol.trees import Snapshot, make_tree, snapshot

MIB = 1024 * 1024
_numbers = itertools.count(1)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


# One runtime a place for all tests here, in one process, on one loop.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("transfers")]


@pytest.fixture(scope="module", autouse=True)
def shared_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The state folder of runtimes that outlive a test."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("state")
        patch.setenv("TETHER_STATE_DIR", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def state_dir(shared_state: Path) -> Path:
    """In the place of each test's own."""
    return shared_state


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def places(shared_state: Path) -> AsyncIterator[Places]:
    """Gives the runtime of a place; the first to ask starts it."""
    async with AsyncExitStack() as stack:
        yield Places(stack)


@pytest_asyncio.fixture(params=PLACES, loop_scope="module")
async def runtime(request: pytest.FixtureRequest, places: Places) -> EventStreamRuntime:
    """On this machine, in Debian, and where there is nothing but busybox."""
    return await places.asked_for(request)


@pytest_asyncio.fixture(loop_scope="module")
async def there(runtime: EventStreamRuntime) -> AsyncIterator[str]:
    """A folder of its own in the sandbox."""
    folder = f"/tmp/transfer-{os.getpid()}-{next(_numbers)}"
    await runtime.exec(["mkdir", folder])
    yield folder
    await runtime.exec(f"chmod -R u+rwx {folder}; rm -rf {folder}")


async def said(runtime: EventStreamRuntime, command: str) -> str:
    done = await runtime.exec(command)
    assert done.exit_code == 0, done
    return done.stdout.decode()


# --- what is kept


async def test_a_tree_comes_back_as_it_was(
    runtime: EventStreamRuntime, there: str, tmp_path: Path
) -> None:
    source = make_tree(tmp_path / "source")
    up = await runtime.upload(source, f"{there}/tree")
    assert (up.kind, up.files, up.notes) == ("tree", 5, ())
    down = await runtime.download(f"{there}/tree", tmp_path / "back")
    assert down.files == 5
    assert snapshot(tmp_path / "back") == snapshot(source)


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)
@given(tree=trees(targets), when=times)
async def test_any_tree_comes_back_as_it_was(
    runtime: EventStreamRuntime, there: str, tree: Tree, when: int
) -> None:
    name = f"{there}/{next(_numbers)}"
    with tempfile.TemporaryDirectory() as folder:
        source = grow(Path(folder) / "source", tree, when)
        await runtime.upload(source, name, links="keep")
        await runtime.download(name, Path(folder) / "back", links="keep")
        assert snapshot(Path(folder) / "back") == snapshot(source)


async def test_a_file_keeps_its_mode_and_its_time(
    runtime: EventStreamRuntime, there: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(data := os.urandom(600_001))
    (tmp_path / "file").chmod(0o640)
    os.utime(tmp_path / "file", ns=(0, 1_234_567_890_123_456_789))
    up = await runtime.upload(tmp_path / "file", f"{there}/file")
    assert (up.bytes, up.crc32) == (len(data), f"{crc32(data):08x}")
    assert await said(runtime, f"stat -c '%a %Y' {there}/file") == "640 1234567890\n"
    await runtime.download(f"{there}/file", tmp_path / "back")
    found = (tmp_path / "back").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_mtime_ns) == (0o640, 1_234_567_890_123_456_789)
    assert (tmp_path / "back").read_bytes() == data


async def test_set_id_bits_are_never_taken_over(
    runtime: EventStreamRuntime, there: str, tmp_path: Path
) -> None:
    (tree := tmp_path / "tree").mkdir()
    (tree / "file").touch()
    (tree / "file").chmod(0o6755)
    await runtime.upload(tree, f"{there}/tree")
    await runtime.upload(tree / "file", f"{there}/file")
    assert await said(runtime, f"stat -c %a {there}/tree/file {there}/file") == "755\n755\n"
    await runtime.exec(f"chmod 6711 {there}/tree/file {there}/file")
    await runtime.download(f"{there}/tree", tmp_path / "back")
    await runtime.download(f"{there}/file", tmp_path / "back" / "alone")
    modes = {stat.S_IMODE((tmp_path / "back" / name).stat().st_mode) for name in ("file", "alone")}
    assert modes == {0o711}


async def test_a_sparse_file_stays_sparse(
    runtime: EventStreamRuntime, there: str, tmp_path: Path
) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.seek(30 * MIB)
        file.write(b"in the middle")
        file.truncate(64 * MIB)
    (tmp_path / "tree").mkdir()
    shutil.copyfile(tmp_path / "sparse", tmp_path / "tree" / "plain")
    os.truncate(tmp_path / "tree" / "plain", 0)
    os.rename(tmp_path / "sparse", tmp_path / "tree" / "sparse")
    up = await runtime.upload(tmp_path / "tree" / "sparse", f"{there}/alone")
    assert up.bytes == 64 * MIB
    await runtime.upload(tmp_path / "tree", f"{there}/tree")
    sizes = await said(runtime, f"stat -c '%s %b' {there}/alone {there}/tree/sparse")
    for line in sizes.splitlines():
        size, blocks = map(int, line.split())
        assert size == 64 * MIB
        assert blocks * 512 < MIB
    down = await runtime.download(f"{there}/alone", tmp_path / "back")
    assert down.crc32 == up.crc32
    await runtime.download(f"{there}/tree", tmp_path / "tree-back")
    for copy in (tmp_path / "back", tmp_path / "tree-back" / "sparse"):
        assert copy.stat().st_blocks * 512 < MIB
        assert copy.stat().st_size == 64 * MIB


# --- what is chosen


@as_root
async def test_owners(runtime: EventStreamRuntime, there: str, tmp_path: Path) -> None:
    (tree := tmp_path / "tree").mkdir()
    (tree / "file").touch()
    (tree / "link").symlink_to("file")
    os.chown(tree / "file", 4321, 5432)
    os.chown(tree / "link", 4322, 5433, follow_symlinks=False)
    names = "{0} {0}/file {0}/link"
    show = "stat -c %u:%g " + names
    for owner, owners in (
        (None, "0:0 0:0 0:0"),
        ("keep", "0:0 4321:5432 4322:5433"),
        ("1234:2345", "1234:2345 1234:2345 1234:2345"),
        ("root:2345", "0:2345 0:2345 0:2345"),
    ):
        target = f"{there}/{owner or 'none'}".replace(":", "-")
        await runtime.upload(tree, target, owner=owner)
        assert (await said(runtime, show.format(target))).split() == owners.split()
    await runtime.upload(tree / "file", f"{there}/alone", owner="keep")
    assert await said(runtime, f"stat -c %u:%g {there}/alone") == "4321:5432\n"
    with pytest.raises(e.UnknownUser, match="nobody-knows"):
        await runtime.upload(tree, f"{there}/x", owner="nobody-knows")

    for owner, number in ((None, 0), ("keep", 4321), ("77:88", 77)):
        back = tmp_path / f"back-{number}"
        await runtime.download(f"{there}/keep", back, owner=owner)
        assert (back / "file").stat().st_uid == number
        await runtime.download(f"{there}/keep/file", back / "alone", owner=owner)
        assert (back / "alone").stat().st_uid == number
    with pytest.raises(e.UnknownUser, match="on this machine"):
        await runtime.download(f"{there}/keep", tmp_path / "x", owner="nobody-knows")
    assert not (tmp_path / "x").exists()


async def test_extended_attributes(runtime: EventStreamRuntime, there: str, tmp_path: Path) -> None:
    (tree := tmp_path / "tree").mkdir()
    (tree / "file").write_text("x")
    (tree / "file").chmod(0o444)
    value = bytes(range(256))
    for path in (tree, tree / "file"):
        os.setxattr(path, "user.odd=name%", value)
    await runtime.upload(tree, f"{there}/tree", xattrs=True)
    await runtime.upload(tree / "file", f"{there}/file", xattrs=True)
    await runtime.download(f"{there}/tree", tmp_path / "back", xattrs=True)
    await runtime.download(f"{there}/file", tmp_path / "alone", xattrs=True)
    await runtime.download(f"{there}/tree", tmp_path / "without")
    for path in (tmp_path / "back", tmp_path / "back" / "file", tmp_path / "alone"):
        assert os.getxattr(path, "user.odd=name%") == value
    assert os.listxattr(tmp_path / "without" / "file") == []


async def test_patterns_choose(runtime: EventStreamRuntime, there: str, tmp_path: Path) -> None:
    for name in ("a.py", "src/b.py", "src/c.txt", "cache/d.py", "src/cache/e.py", "empty/none"):
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_text(name)
    (tmp_path / "tree" / "empty" / "none").unlink()
    await runtime.upload(tmp_path / "tree", f"{there}/tree", exclude=["cache/", "*.txt"])
    found = await said(runtime, f"cd {there}/tree && find . | sort")
    assert found.split() == [".", "./a.py", "./empty", "./src", "./src/b.py"]
    await runtime.upload(tmp_path / "tree", f"{there}/whole")
    for include, files in (
        ("*.py", {"a.py", "src", "src/b.py", "cache", "cache/d.py", "src/cache", "src/cache/e.py"}),
        ("/*.py", {"a.py"}),
        ("src/**/*.py", {"src", "src/b.py", "src/cache", "src/cache/e.py"}),
        ("empty/", {"empty"}),
    ):
        back = tmp_path / "back"
        await runtime.download(f"{there}/whole", back, include=include)
        assert {str(path.relative_to(back)) for path in back.rglob("*")} == files
        shutil.rmtree(back)
    with pytest.raises(e.FileMissing, match="nothing in"):
        await runtime.download(f"{there}/whole", tmp_path / "none", include=["*.nope"])
    assert not (tmp_path / "none").exists()
    with pytest.raises(e.InvalidAction, match="can match nothing"):
        await runtime.download(f"{there}/whole", tmp_path / "none", exclude=["../x"])


# --- links


def linked(root: Path) -> Path:
    """A tree with links of every kind, as a virtualenv has them."""
    (root.parent / "outside").mkdir()
    (root.parent / "outside" / "file").write_text("from outside")
    (root / "bin").mkdir(parents=True)
    (root / "lib").mkdir()
    (root / "lib" / "file").write_text("from inside")
    (root / "bin" / "inside").symlink_to("../lib/file")
    (root / "lib64").symlink_to("lib")
    (root / "bin" / "absolute").symlink_to("/bin/sh")
    (root / "climbing").symlink_to("../outside")
    (root / "nowhere").symlink_to("nothing/here")
    (root / "lib" / "circle").symlink_to("..")
    return root


def links_of(tree: Snapshot) -> dict[bytes, object]:
    return {name: each[3] for name, each in tree.items() if stat.S_ISLNK(int(str(each[0])))}


@pytest.mark.parametrize("way", ["up", "down"])
async def test_links_that_lead_out(
    runtime: EventStreamRuntime, there: str, tmp_path: Path, way: str
) -> None:
    source = linked(tmp_path / "source")
    with pytest.raises(e.UnsafeArchive, match="links='keep'"):
        await runtime.upload(source, f"{there}/refused")
    kept = await runtime.upload(source, f"{there}/kept", links="keep")
    out = ["bin/absolute", "climbing"]
    if way == "down":
        with pytest.raises(e.UnsafeArchive, match="links='keep'"):
            await runtime.download(f"{there}/kept", tmp_path / "refused")
        kept = await runtime.download(f"{there}/kept", tmp_path / "kept", links="keep")
        skipped = await runtime.download(f"{there}/kept", tmp_path / "skipped", links="skip")
        assert not os.path.lexists(tmp_path / "refused")
    else:
        skipped = await runtime.upload(source, f"{there}/skipped", links="skip")
        for name in ("kept", "skipped"):
            await runtime.download(f"{there}/{name}", tmp_path / name, links="keep")
        assert (await runtime.exec(["ls", f"{there}/refused"])).exit_code != 0
    for done, copied in ((kept, True), (skipped, False)):
        assert [note.path for note in done.notes] == out
        assert {(note.reason, note.copied) for note in done.notes} == {("link_leads_out", copied)}
        assert done.notes_total == 2
    links = links_of(snapshot(source))
    assert links_of(snapshot(tmp_path / "kept")) == links
    for name in out:
        del links[name.encode()]
    assert links_of(snapshot(tmp_path / "skipped")) == links


async def test_links_are_followed_by_choice(
    runtime: EventStreamRuntime, there: str, tmp_path: Path
) -> None:
    source = linked(tmp_path / "source")
    up = await runtime.upload(source, f"{there}/up", links="follow", exclude=["absolute"])
    told = [(note.path, note.reason, note.copied) for note in up.notes]
    assert told == [
        ("climbing", "followed_out_of_tree", True),
        ("lib/circle", "link_loop", False),
        ("lib64/circle", "link_loop", False),
        ("nowhere", "dangling_link", False),
    ]
    assert await said(runtime, f"find {there}/up -type l") == ""
    assert await said(runtime, f"cat {there}/up/climbing/file") == "from outside"
    assert await said(runtime, f"cat {there}/up/bin/inside {there}/up/lib64/file") == (
        "from insidefrom inside"
    )
    await runtime.exec(f"cd {there}/up && ln -s ../up/lib away && ln -s lib again")
    down = await runtime.download(f"{there}/up", tmp_path / "down", links="follow")
    assert down.notes == ()
    assert (tmp_path / "down" / "away" / "file").read_text() == "from inside"
    assert links_of(snapshot(tmp_path / "down")) == {}


async def test_a_kept_link_is_not_followed_by_what_comes_later(
    runtime: EventStreamRuntime, there: str, tmp_path: Path
) -> None:
    (tmp_path / "victim").mkdir()
    await runtime.exec(["mkdir", f"{there}/victim"])
    (first := tmp_path / "first").mkdir()
    (first / "way").symlink_to("../victim")
    (then := tmp_path / "then").mkdir()
    (then / "way").mkdir()
    (then / "way" / "planted").write_text("x")
    await runtime.upload(first, f"{there}/tree", links="keep")
    with pytest.raises(e.PathNotADirectory):
        await runtime.upload(then, f"{there}/tree", links="keep")
    assert await said(runtime, f"ls {there}/victim") == ""
    await runtime.upload(then, f"{there}/then")
    await runtime.download(f"{there}/tree", tmp_path / "tree", links="keep")
    with pytest.raises(e.PathNotADirectory):
        await runtime.download(f"{there}/then", tmp_path / "tree", links="keep")
    assert os.listdir(tmp_path / "victim") == []
    (tmp_path / "file").mkdir()
    (tmp_path / "file" / "way").write_text("a file takes the link's place")
    await runtime.upload(tmp_path / "file", f"{there}/tree")
    assert await said(runtime, f"cat {there}/tree/way; ls {there}/victim") == (
        "a file takes the link's place"
    )


# --- what is told


async def test_what_is_no_file_is_left_out_and_told(
    runtime: EventStreamRuntime, there: str, tmp_path: Path
) -> None:
    await runtime.exec(f"mkdir {there}/tree && mkfifo {there}/tree/pipe && touch {there}/tree/file")
    down = await runtime.download(f"{there}/tree", tmp_path / "tree")
    assert [(note.path, note.reason) for note in down.notes] == [("pipe", "special_file")]
    assert os.listdir(tmp_path / "tree") == ["file"]
    os.mkfifo(tmp_path / "tree" / "pipe")
    up = await runtime.upload(tmp_path / "tree", f"{there}/up")
    assert [(note.path, note.copied) for note in up.notes] == [("pipe", False)]
    assert await said(runtime, f"ls {there}/up") == "file\n"


async def test_progress_is_told(runtime: EventStreamRuntime, there: str, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(os.urandom(2 * MIB))
    calls: list[tuple[int, int | None]] = []

    def progress(done: int, total: int | None) -> None:
        calls.append((done, total))

    await runtime.upload(tmp_path / "tree" / "file", f"{there}/file", progress=progress)
    await runtime.download(f"{there}/file", tmp_path / "back", progress=progress)
    for part in (calls[: len(calls) // 2], calls[len(calls) // 2 :]):
        assert part[-1] == (2 * MIB, 2 * MIB)
        assert len(part) > 4
    calls.clear()
    up = await runtime.upload(tmp_path / "tree", f"{there}/tree", progress=progress)
    assert calls[-1] == (up.bytes, None)


async def test_a_full_disk_there_says_so_and_leaves_nothing(
    runtime: EventStreamRuntime, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if request.node.callspec.params["runtime"] == "local":
        pytest.skip("a container has 64 MiB of shared memory; this machine may have a lot")
    (tmp_path / "tree").mkdir()
    with (tmp_path / "tree" / "big").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 70 * MIB)
    for source in (tmp_path / "tree", tmp_path / "tree" / "big"):
        with pytest.raises(e.DiskFull, match=r"no space is left.*in the sandbox"):
            await runtime.upload(source, "/dev/shm/new/big")
    assert await said(runtime, "ls -A /dev/shm") == ""


# --- from one sandbox to another


async def test_from_one_sandbox_to_another(
    runtime: EventStreamRuntime, there: str, places: Places, tmp_path: Path
) -> None:
    other = await places.runtime("local", None)
    source = make_tree(tmp_path / "source")
    (source / "away").symlink_to("/etc/hosts")
    with (source / "sparse").open("wb") as file:
        file.truncate(50 * MIB)
    out = await other.copy_to(str(source), runtime, f"{there}/tree", links="keep")
    assert [(note.path, note.copied) for note in out.notes] == [("away", True)]
    calls: list[int] = []
    back = await runtime.copy_to(
        f"{there}/tree",
        other,
        str(tmp_path / "back"),
        links="keep",
        progress=lambda done, total: calls.append(done),
    )
    assert (back.files, calls[-1]) == (out.files, back.bytes)
    assert snapshot(tmp_path / "back") == snapshot(source)
    assert (tmp_path / "back" / "sparse").stat().st_blocks * 512 < MIB
    within = await runtime.copy_to(f"{there}/tree/again", runtime, f"{there}/within/again")
    assert within.kind == "file"
    assert await said(runtime, f"cmp {there}/tree/again {there}/within/again") == ""


async def test_failures_between_sandboxes_say_why_and_leave_nothing(
    runtime: EventStreamRuntime, there: str, places: Places, tmp_path: Path
) -> None:
    other = await places.runtime("local", None)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "out").symlink_to("/etc/hosts")
    with pytest.raises(e.UnsafeArchive, match="'/etc/hosts', which is absolute"):
        await other.copy_to(str(tmp_path / "tree"), runtime, f"{there}/tree")
    with pytest.raises(e.FileMissing, match="none"):
        await other.copy_to(str(tmp_path / "none"), runtime, f"{there}/tree")
    await runtime.exec(["touch", f"{there}/file"])
    with pytest.raises(e.PathNotADirectory):
        await other.copy_to(str(tmp_path / "tree"), runtime, f"{there}/file", links="keep")
    with pytest.raises(e.UnknownUser):
        await other.copy_to(str(tmp_path / "tree"), runtime, f"{there}/tree", owner="nobody-knows")
    assert await said(runtime, f"ls -A {there}") == "file\n"
    assert (await other.exec(["true"])).exit_code == 0
