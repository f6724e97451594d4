"""File actions: what they answer, each error by its own name, and no answer too long to send."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tether_runtime_client.handlers import files as files_module
from tether_runtime_client.handlers.files import Files
from tether_runtime_client.protocol import errors as e
from tether_runtime_client.protocol.actions import (
    FileEditAction,
    FileReadAction,
    FileWriteAction,
    ListFilesAction,
)
from tether_runtime_client.protocol.observations import error_observation
from tether_runtime_client.protocol.tree_actions import FileStatAction
from tether_runtime_client.settings import ClientSettings
from tether_server import EventStreamRuntime

from .conftest import Desk, assert_fits


@pytest.fixture
def files(settings: ClientSettings) -> Files:
    return Files(settings)


# --- reading


async def test_a_whole_text(desk: Desk, files: Files, place: Path) -> None:
    (place / "text").write_text("eins\nzwei\ndreißig")
    seen = await files.read(FileReadAction(path=str(place / "text")), desk.context())
    assert (seen.content, seen.data) == ("eins\nzwei\ndreißig", None)
    assert (seen.start_line, seen.end_line, seen.total_lines) == (1, 3, 3)
    assert (seen.total_bytes, seen.truncated) == (18, False)


@pytest.mark.parametrize(
    ("first", "last", "content", "truncated"),
    [
        (2, 2, "two\n", True),
        (None, 1, "one\n", True),
        (2, None, "two\nthree\n", True),
        (1, 3, "one\ntwo\nthree\n", False),
        (3, 99, "three\n", True),
    ],
)
async def test_a_range_of_lines(
    desk: Desk,
    files: Files,
    place: Path,
    first: int | None,
    last: int | None,
    content: str,
    truncated: bool,
) -> None:
    (place / "text").write_text("one\ntwo\nthree\n")
    action = FileReadAction(path=str(place / "text"), start_line=first, end_line=last)
    seen = await files.read(action, desk.context())
    assert (seen.content, seen.truncated, seen.total_lines) == (content, truncated, 3)


async def test_an_empty_file(desk: Desk, files: Files, place: Path) -> None:
    (place / "empty").touch()
    seen = await files.read(FileReadAction(path=str(place / "empty")), desk.context())
    assert (seen.content, seen.total_lines, seen.truncated) == ("", 0, False)


async def test_bytes_come_as_they_are(desk: Desk, files: Files, place: Path) -> None:
    data = bytes(range(256)) * 16_000
    (place / "file").write_bytes(data)
    action = FileReadAction(path=str(place / "file"), binary=True)
    seen = await files.read(action, desk.context())
    assert (seen.data, seen.content, seen.total_bytes) == (data, "", len(data))
    assert_fits(seen)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("missing", e.FileMissing),
        ("folder", e.PathIsADirectory),
        ("text/below", e.PathNotADirectory),
        ("dangling", e.DanglingLink),
        ("circle", e.DanglingLink),
        ("binary", e.FileNotText),
        ("latin", e.FileNotText),
        ("large", e.FileTooLarge),
        ("fifo", e.FileError),
        ("a\0b", e.FileMissing),
    ],
)
async def test_why_a_text_cannot_be_read(
    desk: Desk, files: Files, place: Path, name: str, error: type[e.FileError]
) -> None:
    (place / "folder").mkdir()
    (place / "text").write_text("x")
    (place / "dangling").symlink_to("nowhere")
    (place / "circle").symlink_to("circle")
    (place / "binary").write_bytes(b"ELF\0\0")
    (place / "latin").write_bytes("dreißig".encode("latin-1"))
    (place / "large").write_bytes(b"x" * (files_module.TEXT_LIMIT + 1))
    os.mkfifo(place / "fifo")
    with pytest.raises(error) as caught:
        await files.read(FileReadAction(path=f"{place}/{name}"), desk.context())
    assert type(caught.value) is error
    assert caught.value.data["path"] == f"{place}/{name}"
    assert_fits(error_observation(caught.value))


async def test_a_file_that_may_not_be_read(
    desk: Desk, files: Files, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may read anything, so the kernel's answer is made up."""

    def refuse(*args: object, **fields: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(e.PathUnreadable):
        await files.read(FileReadAction(path=str(place / "x")), desk.context())


async def test_a_line_beyond_the_file(desk: Desk, files: Files, place: Path) -> None:
    (place / "text").write_text("one\n")
    action = FileReadAction(path=str(place / "text"), start_line=9)
    with pytest.raises(e.FileError, match="no line 9") as caught:
        await files.read(action, desk.context())
    assert caught.value.code == "file_error"
    with pytest.raises(e.InvalidAction):
        await files.read(
            FileReadAction(path=str(place / "text"), start_line=3, end_line=2), desk.context()
        )


async def test_what_is_too_large_is_read_in_parts(desk: Desk, files: Files, place: Path) -> None:
    (place / "large").write_text("0123456789abcde\n" * 200_000)
    with pytest.raises(e.FileTooLarge) as caught:
        await files.read(FileReadAction(path=str(place / "large")), desk.context())
    assert caught.value.data["size"] == 3_200_000
    part = FileReadAction(path=str(place / "large"), start_line=200_000)
    assert (await files.read(part, desk.context())).content == "0123456789abcde\n"
    (place / "large").write_bytes(bytes(files_module.BINARY_LIMIT + 1))
    with pytest.raises(e.FileTooLarge):
        await files.read(FileReadAction(path=str(place / "large"), binary=True), desk.context())


async def test_the_worst_text_fits_into_a_frame(desk: Desk, files: Files, place: Path) -> None:
    (place / "text").write_bytes(b"\x01" * files_module.TEXT_LIMIT)
    assert_fits(await files.read(FileReadAction(path=str(place / "text")), desk.context()))
    (place / "bytes").write_bytes(b"\xff" * files_module.BINARY_LIMIT)
    action = FileReadAction(path=str(place / "bytes"), binary=True)
    assert_fits(await files.read(action, desk.context()))


# --- writing


async def test_writing_and_appending(desk: Desk, files: Files, place: Path) -> None:
    path = place / "new" / "file"
    action = FileWriteAction(path=str(path), content="hällo\n", mode=0o640)
    seen = await files.write(action, desk.context())
    assert (seen.total_bytes, seen.created) == (7, True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    action = FileWriteAction(path=str(path), data=b"\0\xff", append=True)
    seen = await files.write(action, desk.context())
    assert (seen.total_bytes, seen.created) == (9, False)
    assert path.read_bytes() == "hällo\n".encode() + b"\0\xff"
    action = FileWriteAction(path=str(path), content="")
    seen = await files.write(action, desk.context())
    assert (seen.total_bytes, seen.created) == (0, False)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("append", [False, True])
@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("folder", e.PathIsADirectory),
        ("file/below", e.PathNotADirectory),
        ("dangling", e.DanglingLink),
        ("no/parents", e.FileMissing),
    ],
)
async def test_why_a_file_cannot_be_written(
    desk: Desk, files: Files, place: Path, name: str, error: type[e.FileError], append: bool
) -> None:
    (place / "folder").mkdir()
    (place / "file").write_text("stays")
    (place / "dangling").symlink_to("nowhere")
    action = FileWriteAction(path=f"{place}/{name}", content="x", append=append, make_parents=False)
    with pytest.raises(error):
        await files.write(action, desk.context())
    assert sorted(os.listdir(place)) == ["dangling", "file", "folder"]
    assert (place / "file").read_text() == "stays"


async def test_full_and_read_only_file_systems(
    desk: Desk, files: Files, place: Path, small_disk: Callable[[Path], Path]
) -> None:
    disk = small_disk(place / "disk")
    (disk / "old").write_text("old")
    for append in (False, True):
        action = FileWriteAction(path=str(disk / "old"), data=bytes(2_000_000), append=append)
        with pytest.raises(e.DiskFull):
            await files.write(action, desk.context())
        assert (disk / "old").read_text() == "old"
    process = await asyncio.create_subprocess_exec("mount", "-o", "remount,ro", disk)
    assert await process.wait() == 0
    with pytest.raises(e.ReadOnlyFileSystem):
        await files.write(FileWriteAction(path=str(disk / "new"), content="x"), desk.context())


# --- editing


async def edit(files: Files, desk: Desk, command: str, path: Path, **fields: Any) -> str:
    action = FileEditAction.model_validate({"command": command, "path": str(path), **fields})
    seen = await files.edit(action, desk.context())
    assert seen.path == str(path)
    assert_fits(seen)
    return seen.diff or seen.content


async def test_an_edit_from_its_creation_to_its_undoing(
    desk: Desk, settings: ClientSettings, files: Files, place: Path
) -> None:
    path = place / "file.py"
    await edit(files, desk, "create", path, file_text="a = 1\nb = 2\n")
    diff = await edit(files, desk, "str_replace", path, old_str="b = 2", new_str="b = 3")
    assert "-b = 2\n+b = 3\n" in diff
    await edit(files, desk, "insert", path, insert_line=0, new_str="import os\n")
    assert path.read_text() == "import os\na = 1\nb = 3\n"
    assert await edit(files, desk, "view", path, view_range=(2, -1)) == "a = 1\nb = 3\n"
    after_a_restart = Files(settings)
    await edit(after_a_restart, desk, "undo_edit", path)
    await edit(after_a_restart, desk, "undo_edit", path)
    assert path.read_text() == "a = 1\nb = 2\n"
    await edit(files, desk, "str_replace", path, old_str="a = 1\n")
    assert path.read_text() == "b = 2\n", "nothing is a replacement too"


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"command": "str_replace", "old_str": "zzz", "new_str": "y"}, "not in"),
        ({"command": "str_replace", "old_str": "x", "new_str": "y"}, "lines 1, 2"),
        ({"command": "insert", "insert_line": 9, "new_str": "y"}, "2 lines"),
        ({"command": "undo_edit"}, "no edit"),
        ({"command": "view", "view_range": (5, 2)}, "no range"),
        ({"command": "view", "view_range": (9, 12)}, "no line 9"),
    ],
)
async def test_edits_that_cannot_be_made(
    desk: Desk, files: Files, place: Path, fields: dict[str, Any], match: str
) -> None:
    (place / "file").write_text("x\nx\n")
    with pytest.raises(e.EditFailed, match=match) as caught:
        await edit(files, desk, path=place / "file", **fields)
    assert_fits(error_observation(caught.value))
    assert (place / "file").read_text() == "x\nx\n"


async def test_creating_what_is_there(desk: Desk, files: Files, place: Path) -> None:
    (place / "file").write_text("old")
    with pytest.raises(e.FileAlreadyExists):
        await edit(files, desk, "create", place / "file", file_text="new")
    with pytest.raises(e.FileMissing):
        await edit(files, desk, "view", place / "missing")


async def test_a_view_is_whole_or_an_error(desk: Desk, files: Files, place: Path) -> None:
    (place / "large").write_text("line\n" * 400_000)
    with pytest.raises(e.FileTooLarge, match="400,000 lines"):
        await edit(files, desk, "view", place / "large")
    assert await edit(files, desk, "view", place / "large", view_range=(400_000, -1)) == "line\n"


# --- listing


async def test_a_listing(desk: Desk, files: Files, place: Path) -> None:
    (place / "folder").mkdir(mode=0o750)
    (place / "folder" / "below").write_text("12345")
    (place / "link").symlink_to("folder/below")
    os.utime(place / "folder" / "below", ns=(0, 1_500_000_000_250_000_000))
    seen = await files.list_files(ListFilesAction(path=str(place), recursive=True), desk.context())
    shown = [(entry.path, entry.type, entry.target) for entry in seen.entries]
    assert shown == [
        ("folder", "directory", None),
        ("folder/below", "file", None),
        ("link", "symlink", "folder/below"),
    ]
    below = seen.entries[1]
    assert (below.size, below.modified) == (5, 1_500_000_000.25)
    assert (seen.next_offset, seen.unreadable) == (None, ())
    flat = await files.list_files(ListFilesAction(path=str(place)), desk.context())
    assert [entry.path for entry in flat.entries] == ["folder", "link"]


async def test_names_that_are_no_text(desk: Desk, files: Files, place: Path) -> None:
    (place / os.fsdecode(b"caf\xe9")).symlink_to(os.fsdecode(b"\xff"))
    seen = await files.list_files(ListFilesAction(path=str(place)), desk.context())
    assert [(entry.path, entry.target) for entry in seen.entries] == [("caf\\xe9", "\\xff")]
    assert_fits(seen)
    (place / "link").symlink_to(os.fsdecode(b"no-\xff"))
    with pytest.raises(e.DanglingLink) as caught:
        await files.read(FileReadAction(path=str(place / "link")), desk.context())
    assert_fits(error_observation(caught.value))


async def listed(files: Files, desk: Desk, path: Path, limit: int) -> tuple[list[str], int]:
    names: list[str] = []
    offset: int | None = 0
    pages = 0
    while offset is not None:
        action = ListFilesAction(path=str(path), offset=offset, limit=limit)
        seen = await files.list_files(action, desk.context())
        assert_fits(seen)
        names += [entry.path for entry in seen.entries]
        offset = seen.next_offset
        pages += 1
    return names, pages


async def test_pages(desk: Desk, files: Files, place: Path) -> None:
    for number in range(25):
        (place / f"{number:03}").touch()
    names, pages = await listed(files, desk, place, limit=10)
    assert names == [f"{number:03}" for number in range(25)]
    assert pages == 3


async def test_a_page_of_long_names_fits_into_a_frame(
    desk: Desk, files: Files, place: Path
) -> None:
    for number in range(4_000):
        (place / (f"{number:04}" + "\x01" * 251)).touch()
    names, pages = await listed(files, desk, place, limit=10_000)
    assert [name[:4] for name in names] == [f"{number:04}" for number in range(4_000)]
    assert pages > 1


@pytest.mark.parametrize(
    ("name", "error"), [("missing", e.FileMissing), ("file", e.PathNotADirectory)]
)
async def test_what_cannot_be_listed(
    desk: Desk, files: Files, place: Path, name: str, error: type[e.FileError]
) -> None:
    (place / "file").touch()
    with pytest.raises(error):
        await files.list_files(ListFilesAction(path=str(place / name)), desk.context())


# --- many


async def test_a_thousand_at_once_take_turns(
    desk: Desk, files: Files, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "file").write_text("x")
    at_once, most, stat_file = 0, 0, files_module.core.stat_file
    counting = threading.Lock()

    def counted(*args: Any, **fields: Any) -> Any:
        nonlocal at_once, most
        with counting:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.0005)  # others get their chance to be too many
        try:
            return stat_file(*args, **fields)
        finally:
            with counting:
                at_once -= 1

    monkeypatch.setattr(files_module.core, "stat_file", counted)
    action = FileStatAction(path=str(place / "file"))
    seen = await asyncio.gather(*(files.stat(action, desk.context()) for _ in range(1_000)))
    assert {each.size for each in seen} == {1}
    assert 1 < most <= files_module.AT_ONCE


# --- through a runtime


async def test_files_through_a_runtime(state_dir: Path, place: Path) -> None:
    path = str(place / "a.txt")
    async with EventStreamRuntime(None, backend="local") as runtime:
        written = await runtime.run(FileWriteAction(path=path, content="one\ntwo\n"))
        assert written.created
        await runtime.run(
            FileEditAction(command="str_replace", path=path, old_str="two", new_str="drei")
        )
        assert (await runtime.run(FileReadAction(path=path))).content == "one\ndrei\n"
        await runtime.run(FileEditAction(command="undo_edit", path=path))
        data = os.urandom(files_module.BINARY_LIMIT)
        await runtime.run(FileWriteAction(path=path, data=data))
        assert (await runtime.run(FileReadAction(path=path, binary=True))).data == data
        listing = await runtime.run(ListFilesAction(path=str(place)))
        assert [entry.path for entry in listing.entries] == ["a.txt"]
        with pytest.raises(e.FileNotText):
            await runtime.run(FileReadAction(path=path))
        with pytest.raises(e.FileMissing):
            await runtime.run(FileReadAction(path=path + "x"))
