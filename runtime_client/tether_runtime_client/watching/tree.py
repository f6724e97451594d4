"""One watch: a file, a folder or a whole tree, and what changes there."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial

from ..aside import aside
from ..globs import Globs
from ..search.walk import made_up_devices
from . import inotify as i
from .inotify import Inotify, Raw

FOLDERS_AT_ONCE = 200
"""How many are watched and read before the loop's other work has its turn."""

TOO_MANY = (errno.ENOSPC, errno.EMFILE)
"""The kernel's answers when a user has all the watches that there may be."""


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to a path, which is from the watched folder; `kind` as in `FileChange`."""

    path: str
    kind: str
    directory: bool = False
    from_path: str | None = None


_KINDS = (
    (i.CREATE, "created"),
    (i.MOVED_TO, "created"),
    (i.DELETE, "deleted"),
    (i.MOVED_FROM, "deleted"),
    (i.MODIFY, "modified"),
    (i.CLOSE_WRITE, "written"),
    (i.ATTRIB, "attributes"),
)


class TreeWatch:
    """Watches `path`, a folder or a file, from `start` to `close`.

    File systems that the kernel makes up (/proc) are not watched unless `path` is in one.
    `on_change` gets each change, `on_lost` why some were missed, `on_gone` comes when the watched
    path itself goes away. All are called on the loop, and none after `close`.
    """

    def __init__(
        self,
        hub: Inotify,
        path: str,
        *,
        recursive: bool,
        exclude: Globs | None,
        on_change: Callable[[Change], None],
        on_lost: Callable[[str], None],
        on_gone: Callable[[], None],
    ) -> None:
        self._hub = hub
        self._top = path
        self._recursive = recursive
        self._exclude = exclude
        self._on_change = on_change
        self._on_lost = on_lost
        self._on_gone = on_gone
        self._made_up: frozenset[int] = frozenset()
        self._paths: dict[int, str] = {}
        self._numbers: dict[str, int] = {}
        self._extending: set[asyncio.Task[None]] = set()
        self._closed = False
        self._looking = asyncio.Lock()
        #: A look through the tree is about to begin.
        self._missed = False
        #: The kernel gave no watch for a folder, and none since.
        self._full = False

    async def start(self) -> int:
        """Watch; returns on how many folders. Raises OSError for the top alone."""
        self._top, is_folder, self._made_up = await aside(partial(_resolved, self._top))
        self._add("")
        if is_folder and self._recursive:
            await self._extend([""], tell=False)
        return len(self._paths)

    def close(self) -> None:
        """Watch no more. Twice is safe."""
        self._closed = True
        for task in self._extending:
            task.cancel()
        for path in list(self._numbers):
            self._forget(path)

    # --- what happens

    def _listen(self, events: list[Raw]) -> None:
        moves = {event.cookie: event for event in events if event.mask & i.MOVED_TO}
        sources = {event.cookie for event in events if event.mask & i.MOVED_FROM}
        for event in events:
            if self._closed:
                return
            if event.mask & i.Q_OVERFLOW:
                self._lost()
            elif event.wd in self._paths:
                if event.mask & i.MOVED_FROM and event.cookie in moves:
                    self._moved(event, moves[event.cookie])
                elif not (event.mask & i.MOVED_TO and event.cookie in sources):
                    self._happened(event)

    def _happened(self, event: Raw) -> None:
        if event.mask & i.IGNORED:
            path = self._paths.pop(event.wd)
            if self._numbers.get(path) == event.wd:
                del self._numbers[path]
            if not path:
                self._on_gone()
            return
        path = self._path(event)
        if not event.name:
            self._itself(event, path)
        elif not self._left_out(path, event.name, bool(event.mask & i.IS_DIR)):
            self._entry(event, path)

    def _itself(self, event: Raw, path: str) -> None:
        """About what is watched, of which only the top tells: its folder tells of all others."""
        if path:
            return
        if event.mask & (i.DELETE_SELF | i.MOVE_SELF | i.UNMOUNT):
            self._on_gone()
        elif kind := _kind(event.mask):
            self._on_change(Change("", kind, bool(event.mask & i.IS_DIR)))

    def _entry(self, event: Raw, path: str) -> None:
        is_folder = bool(event.mask & i.IS_DIR)
        if kind := _kind(event.mask):
            self._on_change(Change(path, kind, is_folder))
        if is_folder and self._recursive:
            if event.mask & (i.CREATE | i.MOVED_TO):
                self._spread(path)
            elif event.mask & i.MOVED_FROM:
                self._forget_tree(path)

    def _moved(self, event: Raw, to: Raw) -> None:
        if to.wd not in self._paths:
            self._happened(event)
            return
        old, new = self._path(event), self._path(to)
        is_folder = bool(event.mask & i.IS_DIR)
        hidden = self._left_out(old, event.name, is_folder)
        shown = not self._left_out(new, to.name, is_folder)
        if hidden or not shown:
            for each, path, visible in ((event, old, not hidden), (to, new, shown)):
                if visible:
                    self._entry(each, path)
            return
        self._on_change(Change(new, "moved", is_folder, old))
        if is_folder:
            known = old in self._numbers and not self._extending
            self._rename_tree(old, new)
            if self._recursive and not known:  # what was found in it so far is not there any more
                self._spread(new)

    def _lost(self) -> None:
        """Folders may be new among what was missed: they are looked for."""
        self._on_lost("more happened than the kernel keeps for a reader")
        if self._recursive and not self._missed:
            self._missed = True
            self._begin(self._look_through())

    # --- which folders

    async def _look_through(self) -> None:
        """Once more when something was missed meanwhile: one look follows the other."""
        async with self._looking:
            self._missed = False
            await self._extend([""], tell=False)

    def _spread(self, path: str) -> None:
        """Watch a folder that came, and what is in it by now."""
        self._begin(self._extend([path], tell=True))

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._extending.add(task)
        task.add_done_callback(self._extending.discard)

    async def _extend(self, folders: list[str], *, tell: bool) -> None:
        """Each folder is watched first and read then: nothing can be made between the two."""
        while folders and not self._closed:
            now, folders = folders[:FOLDERS_AT_ONCE], folders[FOLDERS_AT_ONCE:]
            watched = [path for path in now if self._add_below(path)]
            if self._full:
                return
            found = await aside(partial(self._read, watched))
            for path, is_folder, name in found:
                if self._closed or self._left_out(path, name, is_folder):
                    continue
                if tell:
                    self._on_change(Change(path, "created", is_folder))
                if is_folder:
                    folders.append(path)

    def _read(self, folders: list[str]) -> list[tuple[str, bool, str]]:
        """What is in folders, in a thread; a folder that is gone has nothing in it."""
        found: list[tuple[str, bool, str]] = []
        for folder in folders:
            try:
                with os.scandir(os.path.join(self._top, folder)) as entries:
                    for entry in entries:
                        is_folder = entry.is_dir(follow_symlinks=False)
                        if is_folder and entry.stat(follow_symlinks=False).st_dev in self._made_up:
                            continue
                        found.append((os.path.join(folder, entry.name), is_folder, entry.name))
            except OSError:
                continue
        return found

    def _add_below(self, path: str) -> bool:
        try:
            self._add(path)
        except FileNotFoundError:  # gone again, which is an event of its own
            return False
        except OSError as problem:
            if problem.errno not in TOO_MANY:
                self._on_lost(f"{path} is not watched: {problem.strerror}")
            elif not self._full:
                self._full = True
                self._on_lost(f"{path} and other folders are not watched: too many watches")
            return False
        self._full = False
        return True

    def _add(self, path: str) -> None:
        place = os.path.join(self._top, path) if path else self._top
        number = self._hub.add(place, self._listen)
        former = self._paths.get(number)
        if former is not None and self._numbers.get(former) == number:
            del self._numbers[former]
        self._paths[number] = path
        self._numbers[path] = number

    def _forget(self, path: str) -> None:
        number = self._numbers.pop(path)
        self._paths.pop(number, None)
        self._hub.remove(number, self._listen)

    def _forget_tree(self, path: str) -> None:
        for each in self._below(path):
            self._forget(each)

    def _rename_tree(self, old: str, new: str) -> None:
        for each in self._below(old):
            number = self._numbers.pop(each)
            self._paths[number] = new + each[len(old) :]
            self._numbers[self._paths[number]] = number

    def _below(self, path: str) -> list[str]:
        inside = f"{path}/"
        return [each for each in self._numbers if each == path or each.startswith(inside)]

    def _path(self, event: Raw) -> str:
        return (
            os.path.join(self._paths[event.wd], event.name) if event.name else self._paths[event.wd]
        )

    def _left_out(self, path: str, name: str, is_folder: bool) -> bool:
        return self._exclude is not None and self._exclude.match(path, name, folder=is_folder)


def _resolved(path: str) -> tuple[str, bool, frozenset[int]]:
    """Where all links lead, whether that is a folder, and devices to stay out of; blocking."""
    real = os.path.realpath(path)
    found = os.stat(real)
    return real, stat.S_ISDIR(found.st_mode), made_up_devices() - {found.st_dev}


def _kind(mask: int) -> str | None:
    return next((kind for bit, kind in _KINDS if mask & bit), None)
