"""File actions: read, write, edit, list. All of it happens in threads, and fits into a frame."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from .. import files as core
from ..dispatcher import Context
from ..processes.users import group_name, user_name
from ..protocol import actions as a
from ..protocol import errors as e
from ..protocol import observations as o
from ..protocol.os_errors import printable
from ..protocol.tree_actions import FileStatAction
from ..settings import ClientSettings
from .file_errors import on_files

TEXT_LIMIT = 1024 * 1024
"""The most bytes of text one observation carries. As JSON a byte can become six."""

BINARY_LIMIT = 4 * 1024 * 1024
"""The same for bytes, of which three become four."""

PAGE_LIMIT = 4 * 1024 * 1024
"""The most bytes of JSON one page of a directory takes, whatever number was asked for."""

AT_ONCE = 16
"""How many are worked on at a time; more wait. Each may hold some megabytes."""

T = TypeVar("T")


class Files:
    """Handles the file actions. Relative paths are from where the client was started."""

    def __init__(self, settings: ClientSettings) -> None:
        self._editor = core.Editor(str(settings.state / "edits"))
        self._room = asyncio.Semaphore(AT_ONCE)

    async def read(self, action: a.FileReadAction, _: Context) -> o.FileReadObservation:
        """A whole file or a range of its lines; more than the limit is an error."""
        return await self._do(lambda: _read_bytes(action) if action.binary else _read(action))

    async def write(self, action: a.FileWriteAction, _: Context) -> o.FileWriteObservation:
        """A whole file in one step, or an addition to its end."""
        return await self._do(lambda: _write(action))

    async def edit(self, action: a.FileEditAction, _: Context) -> o.FileEditObservation:
        """One change, or the last one taken back."""
        return await self._do(lambda: _EDITS[action.command](self._editor, action))

    async def list_files(self, action: a.ListFilesAction, _: Context) -> o.ListFilesObservation:
        """A page of a directory: as many entries as fit, at most as many as asked for."""
        return await self._do(lambda: _list(action))

    async def stat(self, action: FileStatAction, _: Context) -> o.FileStatObservation:
        """The attributes of one path."""
        return await self._do(lambda: _stat(action))

    async def _do(self, work: Callable[[], T]) -> T:
        async with self._room:
            return await on_files(work)


def _read(action: a.FileReadAction) -> o.FileReadObservation:
    first = action.start_line or 1
    if action.end_line is not None and action.end_line < first:
        raise e.InvalidAction(
            f"lines {first} to {action.end_line} are no range",
            hint="Lines count from 1, and the last is not before the first",
        )
    try:
        text = core.read_text(
            action.path,
            start_line=first,
            end_line=action.end_line,
            max_bytes=TEXT_LIMIT,
            encoding=action.encoding,
        )
    except core.OutOfRange as problem:  # an edit's error, and this is none
        raise e.FileError(problem.message, hint=problem.hint, **problem.data) from None
    return o.FileReadObservation(
        path=action.path,
        content=text.content,
        start_line=text.start_line,
        end_line=text.end_line,
        total_lines=text.total_lines,
        total_bytes=text.total_bytes,
        truncated=first > 1 or text.end_line < text.total_lines,
        encoding=text.encoding,
        line_end=text.line_end,
    )


def _read_bytes(action: a.FileReadAction) -> o.FileReadObservation:
    found = core.read_bytes(
        action.path, offset=action.offset, length=action.length, max_bytes=BINARY_LIMIT
    )
    return o.FileReadObservation(
        path=action.path,
        data=found.data,
        offset=found.offset,
        total_bytes=found.total_bytes,
        truncated=len(found.data) < found.total_bytes,
    )


def _write(action: a.FileWriteAction) -> o.FileWriteObservation:
    data = action.data
    if action.content is not None:
        data = core.encode_text(action.path, action.content, action.encoding or "utf-8")
    assert data is not None, "the action's validator wants one of the two"
    write = core.append_file if action.append else core.write_file
    written = write(action.path, data, mode=action.mode, make_parents=action.make_parents)
    return o.FileWriteObservation(
        path=action.path,
        total_bytes=written.total_bytes,
        created=written.created,
        atomic=written.atomic,
    )


def _view(editor: core.Editor, action: a.FileEditAction) -> o.FileEditObservation:
    text = editor.view(
        action.path, action.view_range, max_bytes=TEXT_LIMIT, encoding=action.encoding
    )
    if text.truncated:
        raise e.FileTooLarge(
            f"more than {TEXT_LIMIT:,} bytes of {action.path} were asked for "
            f"({text.total_lines:,} lines, {text.total_bytes:,} bytes)",
            path=action.path,
        )
    return o.FileEditObservation(path=action.path, content=text.content)


def _create(editor: core.Editor, action: a.FileEditAction) -> o.FileEditObservation:
    return _edited(editor.create(action.path, action.file_text or "", encoding=action.encoding))


def _str_replace(editor: core.Editor, action: a.FileEditAction) -> o.FileEditObservation:
    old, new = action.old_str or "", action.new_str or ""
    return _edited(editor.str_replace(action.path, old, new, encoding=action.encoding))


def _insert(editor: core.Editor, action: a.FileEditAction) -> o.FileEditObservation:
    line, text = action.insert_line or 0, action.new_str or ""
    return _edited(editor.insert(action.path, line, text, encoding=action.encoding))


def _undo(editor: core.Editor, action: a.FileEditAction) -> o.FileEditObservation:
    return _edited(editor.undo_edit(action.path))


_EDITS: dict[str, Callable[[core.Editor, a.FileEditAction], o.FileEditObservation]] = {
    "view": _view,
    "create": _create,
    "str_replace": _str_replace,
    "insert": _insert,
    "undo_edit": _undo,
}


def _edited(edited: core.Edited) -> o.FileEditObservation:
    return o.FileEditObservation(path=edited.path, content=edited.content, diff=edited.diff)


def _list(action: a.ListFilesAction) -> o.ListFilesObservation:
    listing = core.list_directory(
        action.path, recursive=action.recursive, offset=action.offset, limit=action.limit
    )
    entries: list[o.FileEntry] = []
    room = PAGE_LIMIT
    for found in listing.entries:
        entry = _entry(found)
        room -= len(entry.model_dump_json())
        if room < 0:
            break
        entries.append(entry)
    # What vanished meanwhile is not counted: it is not there for the next page either.
    cut = action.offset + len(entries) if room < 0 else listing.next_offset
    return o.ListFilesObservation(
        path=action.path,
        entries=tuple(entries),
        next_offset=cut,
        unreadable=tuple(printable(name) for name in listing.unreadable),
    )


def _entry(found: core.Entry) -> o.FileEntry:
    return o.FileEntry(
        path=printable(found.path),
        type=found.type,
        size=found.size,
        mode=found.mode,
        modified=found.mtime_ns // 10**9 + found.mtime_ns % 10**9 / 1e9,
        target=None if found.target is None else printable(found.target),
    )


def _stat(action: FileStatAction) -> o.FileStatObservation:
    status = core.stat_file(action.path, follow=action.follow)
    found = status.attributes
    return o.FileStatObservation(
        path=action.path,
        real_path=printable(status.real_path),
        type=status.type,
        size=found.st_size,
        allocated=status.allocated,
        mode=status.mode,
        uid=found.st_uid,
        gid=found.st_gid,
        owner=user_name(found.st_uid),
        group=group_name(found.st_gid),
        links=found.st_nlink,
        inode=found.st_ino,
        device=found.st_dev,
        modified=found.st_mtime,
        accessed=found.st_atime,
        changed=found.st_ctime,
        target=None if status.target is None else printable(status.target),
    )
