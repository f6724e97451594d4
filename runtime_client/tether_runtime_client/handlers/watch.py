"""Watches: what changes in a tree, as events, until somebody has enough of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from .. import files as core
from ..dispatcher import Context
from ..protocol import errors as e
from ..protocol.events import FileChange, FilesChanged, WatchOverflow, WatchReady
from ..protocol.observations import FileWatchObservation
from ..protocol.os_errors import printable
from ..protocol.tree_actions import FileWatchAction
from .file_errors import protocol_error

if TYPE_CHECKING:
    from ..watching.inotify import Inotify
    from ..watching.tree import Change, TreeWatch

FLUSH_AFTER_S = 0.02
"""Changes wait this long for more of them: a thousand writes to a file are one change then."""

MAX_CHANGES = 1_000
"""The most changes in one event, and in the observation."""


class Watches:
    """Handles `FileWatchAction`."""

    def __init__(self) -> None:
        self._hub: Inotify | None = None

    async def handle(self, action: FileWatchAction, context: Context) -> FileWatchObservation:
        """Watch until the time or the limit is reached, or what is watched goes away."""
        told = _Told(action, context)
        watch = self._watch(action, told)
        try:
            async with asyncio.timeout(action.timeout_s):
                folders = await _started(watch, action.path)
                context.emit(WatchReady(action_id=context.action_id, folders=folders))
                await asyncio.wait([told.over])
        except TimeoutError:
            told.end("timeout")
        finally:
            watch.close()
            told.flush()
        return told.observation()

    def _watch(self, action: FileWatchAction, told: _Told) -> TreeWatch:
        """What it takes is imported here: 5 ms and 0.7 MB that most clients never need."""
        from ..globs import GlobError, Globs
        from ..watching.inotify import Inotify
        from ..watching.tree import TreeWatch

        self._hub = self._hub or Inotify()
        try:
            exclude = Globs(action.exclude) if action.exclude else None
        except GlobError as problem:
            raise e.InvalidPattern(str(problem), path=action.path) from None
        return TreeWatch(
            self._hub,
            action.path,
            recursive=action.recursive,
            exclude=exclude,
            on_change=told.add,
            on_lost=told.lose,
            on_gone=lambda: told.end("gone"),
        )


async def _started(watch: TreeWatch, path: str) -> int:
    from ..watching.tree import TOO_MANY

    try:
        return await watch.start()
    except OSError as problem:
        if problem.errno in TOO_MANY:
            raise e.WatchRefused(f"{path} cannot be watched: there are too many watches") from None
        raise protocol_error(core.from_os_error(problem, path)) from None
    except ValueError as problem:
        raise e.FileMissing(f"{path!r} can be no path: {problem}", path=printable(path)) from None


class _Told:
    """What one watch has told, and what it is about to tell."""

    def __init__(self, action: FileWatchAction, context: Context) -> None:
        self._action = action
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[Change, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._first: list[FileChange] = []
        self._total = 0
        self._overflows = 0
        self.over: asyncio.Future[str] = self._loop.create_future()

    def add(self, change: Change) -> None:
        """A change: the same one that waits already is told once, where it came last."""
        if self.over.done():
            return
        self._waiting.pop(change, None)
        self._waiting[change] = None
        limit = self._action.limit
        if limit is not None and self._total + len(self._waiting) >= limit:
            self.end("limit")
        elif len(self._waiting) >= MAX_CHANGES:
            self.flush()
        elif self._timer is None:
            self._timer = self._loop.call_later(FLUSH_AFTER_S, self.flush)

    def lose(self, reason: str) -> None:
        """Changes were missed."""
        self.flush()
        self._overflows += 1
        self._context.emit(
            WatchOverflow(action_id=self._context.action_id, reason=printable(reason))
        )

    def end(self, why: str) -> None:
        """It is over. The first reason counts."""
        if not self.over.done():
            self.over.set_result(why)

    def flush(self) -> None:
        """Tell what waits now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._waiting:
            return
        changes = tuple(map(_message, self._waiting))
        self._waiting.clear()
        self._total += len(changes)
        self._first += changes[: MAX_CHANGES - len(self._first)]
        self._context.emit(FilesChanged(action_id=self._context.action_id, changes=changes))

    def observation(self) -> FileWatchObservation:
        """What came of it."""
        return FileWatchObservation.model_validate(
            {
                "path": self._action.path,
                "ended": self.over.result(),
                "total": self._total,
                "changes": tuple(self._first),
                "overflows": self._overflows,
            }
        )


def _message(change: Change) -> FileChange:
    return FileChange.model_validate(
        {
            "path": printable(change.path),
            "kind": change.kind,
            "directory": change.directory,
            "from_path": None if change.from_path is None else printable(change.from_path),
        }
    )
