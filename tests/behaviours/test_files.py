"""Files and trees, seen as a runtime's users see them; the catalogue is `docs/files.md`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
import pytest_asyncio

from tether_server import (
    ActionCancelled,
    CancelAction,
    CmdRunAction,
    DanglingLink,
    DiskUsageAction,
    EditFailed,
    EventStreamRuntime,
    ExecAction,
    FileAlreadyExists,
    FileEditAction,
    FileError,
    FileMissing,
    FileNotText,
    FileReadAction,
    FilesChanged,
    FileStatAction,
    FileTooLarge,
    FileWatchAction,
    FileWriteAction,
    FindFilesAction,
    GrepAction,
    InvalidPattern,
    ListFilesAction,
    NotCancellable,
    PathIsADirectory,
    PathNotADirectory,
    PathUnreadable,
    ScreenReadAction,
    SpawnFailed,
    TetherError,
    WatchReady,
)

from ..places import Places

TREE = r"""
mkdir -p src/deep node_modules/x .git
printf 'import os\ndef main():\n    return os.name\n' >src/main.py
printf 'def helper():\n    return main()\n' >src/deep/helper.py
printf 'main\0' >src/binary
printf 'main\n' >node_modules/x/index.js
printf 'main\n' >.git/config
printf 'node_modules/\n' >.gitignore
ln -s main.py src/link
ln -s nowhere dangling
ln -s circle circle
mkfifo fifo
"""


@pytest_asyncio.fixture(loop_scope="session")
async def folder(runtime: EventStreamRuntime) -> AsyncIterator[str]:
    """A folder in the sandbox with a small tree."""
    made = await runtime.run(ExecAction(command=f"d=$(mktemp -d) && cd $d && {TREE} pwd"))
    assert made.exit_code == 0, made.stderr
    path = made.stdout.decode().strip()
    yield path
    await runtime.run(ExecAction(argv=("rm", "-rf", path)))


async def sh(runtime: EventStreamRuntime, command: str) -> str:
    done = await runtime.run(ExecAction(command=command))
    assert done.exit_code == 0, done.stderr
    return done.stdout.decode()


# --- read and write


async def test_lines_and_bytes(runtime: EventStreamRuntime, folder: str) -> None:
    path = f"{folder}/src/main.py"
    lines = await runtime.run(FileReadAction(path=path, start_line=2, end_line=2))
    assert (lines.content, lines.truncated, lines.total_lines) == ("def main():\n", True, 3)
    part = await runtime.run(FileReadAction(path=path, binary=True, offset=7, length=2))
    assert (part.data, part.offset, part.truncated) == (b"os", 7, True)
    beyond = await runtime.run(FileReadAction(path=path, binary=True, offset=10**12))
    assert beyond.data == b""


async def test_encodings(runtime: EventStreamRuntime, folder: str) -> None:
    path = f"{folder}/latin"
    await runtime.run(FileWriteAction(path=path, content="café\r\n", encoding="latin-1"))
    seen = await runtime.run(FileReadAction(path=path, binary=True))
    assert seen.data == "café\r\n".encode("latin-1")
    with pytest.raises(FileNotText):
        await runtime.run(FileReadAction(path=path))
    text = await runtime.run(FileReadAction(path=path, encoding="latin-1"))
    assert (text.content, text.encoding, text.line_end) == ("café\r\n", "iso8859-1", "\r\n")
    with pytest.raises(FileNotText, match="has no"):
        await runtime.run(FileWriteAction(path=path, content="日本", encoding="latin-1"))
    assert (await runtime.run(FileReadAction(path=path, binary=True))).data == seen.data
    edit = {"path": path, "encoding": "latin-1"}
    replace = {"command": "str_replace", "old_str": "café", "new_str": "thé\nà"}
    await runtime.run(FileEditAction.model_validate({**edit, **replace}))
    seen = await runtime.run(FileReadAction(path=path, binary=True))
    assert seen.data == "thé\r\nà\r\n".encode("latin-1")
    await runtime.run(FileEditAction.model_validate({**edit, "command": "undo_edit"}))
    marked = "\ufeffeins\n".encode("utf-16-le")
    await runtime.run(FileWriteAction(path=path, data=marked))
    text = await runtime.run(FileReadAction(path=path))
    assert (text.content, text.encoding) == ("eins\n", "utf-16-le")


async def test_writing_keeps_mode_owner_and_links(runtime: EventStreamRuntime, folder: str) -> None:
    await sh(runtime, f"cd {folder}/src && chmod 4751 main.py")
    before = await runtime.run(FileStatAction(path=f"{folder}/src/main.py"))
    written = await runtime.run(FileWriteAction(path=f"{folder}/src/link", content="new\n"))
    assert (written.created, written.atomic) == (False, True)
    after = await runtime.run(FileStatAction(path=f"{folder}/src/main.py"))
    assert (after.mode, after.uid, after.gid) == (0o4751, before.uid, before.gid)
    assert after.inode != before.inode, "another file has taken its place in one step"
    link = await runtime.run(FileStatAction(path=f"{folder}/src/link", follow=False))
    assert (link.type, link.target) == ("symlink", "main.py")
    await runtime.run(FileWriteAction(path=f"{folder}/src/link", content="more\n", append=True))
    assert (
        await runtime.run(FileReadAction(path=f"{folder}/src/main.py"))
    ).content == "new\nmore\n"


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("missing", FileMissing),
        ("src", PathIsADirectory),
        (".gitignore/x", PathNotADirectory),
        ("dangling", DanglingLink),
        ("circle", DanglingLink),
        ("fifo", FileError),
        ("src/binary", FileNotText),
        ("large", FileTooLarge),
    ],
)
async def test_each_trouble_has_its_error(
    runtime: EventStreamRuntime, folder: str, name: str, error: type[TetherError]
) -> None:
    if name == "large":
        await sh(runtime, f"head -c 1100000 /dev/zero | tr '\\0' a >{folder}/large")
    with pytest.raises(error) as caught:
        await runtime.run(FileReadAction(path=f"{folder}/{name}"))
    assert type(caught.value) is error
    assert caught.value.hint
    assert caught.value.data["path"] == f"{folder}/{name}"


@pytest.mark.engine
async def test_what_a_user_may_not_read_or_write(debian: str) -> None:
    async with EventStreamRuntime(debian, user="65534:65534") as runtime:
        for action in (
            FileReadAction(path="/etc/shadow"),
            FileReadAction(path="/root/x"),
            FileWriteAction(path="/etc/new", content=""),
            FileWriteAction(path="/etc/passwd", content="", append=True),
            FileEditAction(command="insert", path="/etc/passwd", insert_line=0, new_str="x"),
            FileStatAction(path="/root/x"),
            ListFilesAction(path="/root"),
            FindFilesAction(path="/root"),
            GrepAction(path="/etc/shadow", pattern="x"),
            DiskUsageAction(path="/root"),
            FileWatchAction(path="/root"),
        ):
            with pytest.raises(PathUnreadable) as caught:
                await runtime.run(action)
            assert caught.value.hint
            assert caught.value.data["path"] == action.path, action
        found = await runtime.run(GrepAction(path="/etc", pattern="^root:", globs=("*shadow*",)))
        assert (found.matches, "shadow" in found.unreadable) == ((), True)


# --- edit


async def test_edits(runtime: EventStreamRuntime, folder: str) -> None:
    path = f"{folder}/new/file.txt"

    async def edit(command: str, **fields: object) -> str:
        action = FileEditAction.model_validate({"command": command, "path": path, **fields})
        seen = await runtime.run(action)
        return seen.diff or seen.content

    assert "+two" in await edit("create", file_text="one\ntwo\ntwo\n")
    with pytest.raises(FileAlreadyExists):
        await edit("create", file_text="x")
    with pytest.raises(EditFailed, match="lines 2, 3"):
        await edit("str_replace", old_str="two", new_str="2")
    with pytest.raises(EditFailed, match="nearest is line 1"):
        await edit("str_replace", old_str="onne\n", new_str="1")
    with pytest.raises(EditFailed, match="3 lines"):
        await edit("insert", insert_line=4, new_str="x")
    assert "-one\n+1\n" in await edit("str_replace", old_str="one", new_str="1")
    assert "+zero" in await edit("insert", insert_line=0, new_str="zero\n")
    assert await edit("view", view_range=(1, 2)) == "zero\n1\n"
    await edit("undo_edit")
    await edit("undo_edit")
    assert (await runtime.run(FileReadAction(path=path))).content == "one\ntwo\ntwo\n"
    await edit("undo_edit")
    with pytest.raises(FileMissing):
        await runtime.run(FileReadAction(path=path))


async def search_for_ever(runtime: EventStreamRuntime) -> None:
    """It fails once the sandbox is full, which takes its time on a busy machine."""
    async with asyncio.timeout(60):
        while True:
            await runtime.run(FindFilesAction(path="/srv"))


@pytest.mark.engine
async def test_files_where_no_process_more_can_be_started(debian: str) -> None:
    """Nor a thread of the client's: each does its work all the same, and once."""
    path = "/srv/file"
    async with EventStreamRuntime(debian, resources={"pids_limit": 40}) as runtime:
        await runtime.run(FileWriteAction(path=path, content="one\n"))
        await runtime.run(CmdRunAction(command="perl -e '1 while fork; sleep 300'", timeout_s=1))
        with pytest.raises(SpawnFailed):
            await search_for_ever(runtime)
        for _ in range(3):
            await runtime.run(FileWriteAction(path=path, content="more\n", append=True))
        edit = FileEditAction(command="str_replace", path=path, old_str="one", new_str="1")
        assert "-one\n+1\n" in (await runtime.run(edit)).diff
        assert (await runtime.run(FileReadAction(path=path))).content == "1\nmore\nmore\nmore\n"
        assert (await runtime.run(FileStatAction(path=path))).size == 17
        listing = await runtime.run(ListFilesAction(path="/srv"))
        assert [entry.path for entry in listing.entries] == ["file"]
        watch = await runtime.run(FileWatchAction(path="/srv", recursive=True, timeout_s=0))
        assert watch.ended == "timeout"
        assert (await runtime.run(ScreenReadAction())).rows


# --- list, stat, find


async def test_listing_and_stat(runtime: EventStreamRuntime, folder: str) -> None:
    listing = await runtime.run(ListFilesAction(path=f"{folder}/src", limit=2))
    assert [(e.path, e.type) for e in listing.entries] == [
        ("binary", "file"),
        ("deep", "directory"),
    ]
    assert listing.next_offset == 2
    status = await runtime.run(FileStatAction(path=f"{folder}/src/link"))
    assert (status.type, status.size, status.target) == ("file", 41, "main.py")
    assert status.real_path.endswith("/src/main.py")
    assert status.uid == int(await sh(runtime, "id -u"))
    with pytest.raises(DanglingLink):
        await runtime.run(FileStatAction(path=f"{folder}/dangling"))
    assert (await runtime.run(FileStatAction(path=f"{folder}/fifo"))).type == "fifo"


async def test_finding(runtime: EventStreamRuntime, folder: str) -> None:
    async def find(**fields: object) -> list[str]:
        action = FindFilesAction.model_validate({"path": folder, **fields})
        return [entry.path for entry in (await runtime.run(action)).entries]

    assert await find(globs=["*.{py,js}"]) == ["src/deep/helper.py", "src/main.py"]
    assert "node_modules/x/index.js" in await find(ignore=False)
    assert await find(types=["fifo"]) == ["fifo"]
    assert await find(min_size=41, types=["file"]) == ["src/main.py"]
    assert await find(modified_after=time.time() + 3600) == []
    assert await find(max_depth=1, types=["directory"]) == ["src"]
    page = await runtime.run(FindFilesAction(path=folder, limit=3))
    assert (len(page.entries), page.next_offset) == (3, 3)
    with pytest.raises(FileMissing):
        await find(path="/nowhere")
    with pytest.raises(InvalidPattern):
        await find(globs=["{a,b}" * 40])


# --- grep


async def test_searching_without_ripgrep(runtime: EventStreamRuntime, folder: str) -> None:
    seen = await runtime.run(GrepAction(path=folder, pattern=r"\bmain\(", before=1))
    assert [(m.path, m.line, m.column, m.text, m.before) for m in seen.matches] == [
        ("src/deep/helper.py", 2, 12, "    return main()", ("def helper():",)),
        ("src/main.py", 2, 5, "def main():", ("import os",)),
    ]
    files = await runtime.run(GrepAction(path=folder, pattern="main", files_only=True))
    assert [(f.path, f.matches) for f in files.files] == [
        ("src/deep/helper.py", 1),
        ("src/main.py", 1),
    ]
    with pytest.raises(InvalidPattern, match="position 0"):
        await runtime.run(GrepAction(path=folder, pattern="("))
    with pytest.raises(FileError):
        await runtime.run(GrepAction(path=f"{folder}/fifo", pattern="x"))


@pytest.mark.engine
async def test_searching_with_the_sandboxes_own_ripgrep(
    places: Places, debian: str, ripgrep: str
) -> None:
    runtime = await places.runtime("debian", debian)
    await runtime.upload(ripgrep, "/usr/local/bin/rg")
    try:
        seen = await runtime.run(GrepAction(path="/etc", pattern="^root:", globs=("passwd",)))
        assert (seen.engine, [m.path for m in seen.matches]) == ("ripgrep", ["passwd"])
    finally:
        await sh(runtime, "rm /usr/local/bin/rg")
    seen = await runtime.run(GrepAction(path="/etc", pattern="^root:", globs=("passwd",)))
    assert (seen.engine, [m.path for m in seen.matches]) == ("python", ["passwd"])


async def test_a_search_without_end_holds_nothing_back(
    runtime: EventStreamRuntime, folder: str
) -> None:
    await sh(runtime, f"head -c 100000 /dev/zero | tr '\\0' a >{folder}/endless")
    name = folder.rpartition("/")[2]
    searches = [
        asyncio.create_task(
            runtime.run(
                GrepAction(path=folder, pattern="(a+)+$(?!)", timeout_s=None), id=f"{name}-{n}"
            )
        )
        for n in range(3)
    ]
    started = time.monotonic()
    for _ in range(10):
        assert (await runtime.run(CmdRunAction(command="echo hello"))).content == "hello\n"
        assert (await runtime.run(FindFilesAction(path=folder, limit=1))).entries
    assert time.monotonic() - started < 20
    for number in range(3):
        await runtime.run(CancelAction(target_id=f"{name}-{number}"))
    for search in searches:
        with pytest.raises(ActionCancelled):
            await search
    with pytest.raises(NotCancellable):
        await runtime.run(CancelAction(target_id=f"{name}-0"))
    limited = await runtime.run(GrepAction(path=folder, pattern="(a+)+$(?!)", timeout_s=0.5))
    assert limited.timed_out


# --- watch


async def test_watching(runtime: EventStreamRuntime, folder: str) -> None:
    seen: list[tuple[str, str]] = []
    async with aclosing(runtime.watch(folder, recursive=True, exclude=["*.tmp"])) as events:
        assert isinstance(await anext(events), WatchReady)
        await sh(runtime, f"cd {folder} && mkdir -p x/y && echo 1 >x/y/new && echo 2 >a.tmp")
        async with asyncio.timeout(20):
            async for event in events:
                assert isinstance(event, FilesChanged)
                seen += [(change.kind, change.path) for change in event.changes]
                if ("written", "x/y/new") in seen or ("created", "x/y/new") in seen:
                    break
    assert ("created", "x") in seen
    assert not [path for _, path in seen if path.endswith(".tmp")]


async def test_a_watch_ends(runtime: EventStreamRuntime, folder: str) -> None:
    quiet = await runtime.run(FileWatchAction(path=folder, timeout_s=0.1))
    assert (quiet.ended, quiet.total) == ("timeout", 0)
    with pytest.raises(FileMissing):
        await runtime.run(FileWatchAction(path=f"{folder}/missing"))
    for limit, ended in ((1, "limit"), (None, "gone")):
        action = FileWatchAction(path=f"{folder}/src", limit=limit, timeout_s=30)
        observation = None
        async with aclosing(runtime.events.subscribe(runtime.events.last_seq)) as events:
            watch = asyncio.create_task(runtime.run(action))
            async for event in events:
                if isinstance(event, WatchReady):
                    break
            await sh(runtime, f"cd {folder} && touch src/new && rm -r src")
            observation = await watch
        assert observation.ended == ended
        assert observation.changes[0].path == "new"
        await sh(runtime, f"mkdir {folder}/src")


# --- disk usage


async def test_disk_usage(runtime: EventStreamRuntime, folder: str) -> None:
    used = await runtime.run(DiskUsageAction(path=folder))
    assert {entry.path for entry in used.entries} == {".git", "node_modules", "src"}
    assert used.directories == 5
    assert used.disk_free > 0
    assert used.allocated >= int((await sh(runtime, f"du -sk {folder}")).split()[0]) * 1024
