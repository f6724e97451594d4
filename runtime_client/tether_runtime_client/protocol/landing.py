"""How a file or tree that comes in gets its final name: whole, or not at all.

It is made under a temporary name on the same file system and renamed once it is complete and
checked. What is given up on is removed, with the folders that were made for it.
"""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from .attributes import FileAttributes, Receiving, set_times, without_set_id
from .errors import DanglingLink, FileAlreadyExists, PathIsADirectory, PathNotADirectory
from .holes import end_here, write
from .merging import merge_tree, remove_tree, temporary_name
from .os_errors import about, printable
from .unfinished import Unfinished

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class _Landing(ABC):
    """A context manager for one blocking thread; leaving it without `commit` undoes everything.

    OSErrors come as they are; what stands in the way is a `FileError`.
    """

    def __init__(self, target: Path, unfinished: Unfinished | None) -> None:
        self.target = target
        self._unfinished = unfinished
        self._noted: Path | None = None
        self._made: list[Path] = []
        self._temporary: Path | None = None

    def __enter__(self) -> Self:
        try:
            self._prepare()
        except BaseException:
            self._undo()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._undo()

    @abstractmethod
    def _prepare(self) -> None:
        """Look at what is there and make the temporary file or folder."""

    def _note(self, temporary: Path) -> None:
        """Before it is made: this process may die."""
        if self._unfinished is not None:
            self._noted = temporary
            self._unfinished.note(temporary)

    def _make_parents(self, parent: Path) -> None:
        missing = [parent, *parent.parents]
        missing = missing[: next((i for i, p in enumerate(missing) if p.exists()), len(missing))]
        for folder in reversed(missing):
            with suppress(FileExistsError):  # somebody else made it at this moment
                folder.mkdir()
                self._made.append(folder)

    def _undo(self) -> None:
        temporary, self._temporary = self._temporary, None
        if temporary is not None:
            remove_tree(temporary)
        for folder in reversed(self._made):
            with suppress(OSError):  # something else was put there: it stays
                folder.rmdir()
        if self._unfinished is not None and self._noted is not None:
            self._unfinished.forget(self._noted)


class FileLanding(_Landing):
    """One file, written through `descriptor`.

    An existing file is replaced, and keeps its owner where none is asked for; it keeps its mode
    where none is given. A link to a file stays one: the file it leads to is replaced.
    """

    def __init__(self, target: Path, attributes: FileAttributes, receiving: Receiving) -> None:
        super().__init__(target, receiving.unfinished)
        self._attributes = attributes
        self._receiving = receiving
        mode = attributes.mode
        self._mode = None if mode is None else without_set_id(mode)
        self._owner: tuple[int, int] | None = None
        self._ends_in_hole = False
        self.descriptor = -1

    def write(self, data: bytes | memoryview) -> None:
        """Write all of it, or leave a hole."""
        self._ends_in_hole = write(self.descriptor, data)

    def commit(self) -> None:
        """Give the file its attributes and its name."""
        assert self._temporary is not None
        if self._ends_in_hole:
            end_here(self.descriptor)
        if self._owner is not None:
            with suppress(PermissionError):  # only root can give files away
                os.fchown(self.descriptor, *self._owner)
        self._take_over()
        if self._mode is not None:
            os.fchmod(self.descriptor, self._mode)
        if self._attributes.mtime_ns is not None:
            set_times(self.descriptor, self._attributes.mtime_ns)
        self._temporary.rename(self.target)
        self._temporary = None
        self._made.clear()

    def _take_over(self) -> None:
        """What is asked for of the attributes that are not always taken."""
        given, shown = self._attributes, printable(os.fspath(self.target))
        xattrs = tuple((os.fsencode(name), value) for name, value in given.xattrs.items())
        self._receiving.set_xattrs(self.descriptor, xattrs, shown)
        was = (-1 if given.uid is None else given.uid, -1 if given.gid is None else given.gid)
        self._receiving.give(self.descriptor, was, shown)

    def _prepare(self) -> None:
        self._look()
        self._make_parents(self.target.parent)
        temporary = self.target.with_name(temporary_name())
        self._note(temporary)
        first = 0o666 if self._mode is None else 0o600
        self.descriptor = os.open(temporary, _NEW_FILE, first)
        self._temporary = temporary

    def _look(self) -> None:
        if self.target.is_symlink():
            self.target = _end_of_link(self.target)
        try:
            found = self.target.stat()
        except FileNotFoundError:
            return
        if stat.S_ISDIR(found.st_mode):
            raise PathIsADirectory(**about("{} is a directory", self.target))
        if not stat.S_ISREG(found.st_mode):
            raise FileAlreadyExists(**about("{} is no ordinary file", self.target))
        self._owner = (found.st_uid, found.st_gid)
        if self._mode is None:
            self._mode = stat.S_IMODE(found.st_mode)

    def _undo(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
        super()._undo()


class TreeLanding(_Landing):
    """A folder's tree, unpacked into `stage`.

    Where there is a folder already, the tree is merged into it once it is complete: files are
    replaced one by one, each in one step, and nothing is moved when something stands in the way.
    """

    def __init__(self, target: Path, unfinished: Unfinished | None = None) -> None:
        super().__init__(target, unfinished)
        self._merge = False
        self.stage = target

    def commit(self) -> None:
        """Give the tree its name."""
        assert self._temporary is not None
        if self._merge:
            self.stage.chmod(0o700)  # it has the mode of the tree's top by now, whatever that is
            merge_tree(self.stage, self.target)
        else:
            self.stage.rename(self.target)
            self._temporary = None
        self._made.clear()

    def _prepare(self) -> None:
        if self.target.is_symlink():
            self.target = _end_of_link(self.target)
        if self.target.exists():
            if not self.target.is_dir():
                raise PathNotADirectory(**about("{} is no directory", self.target))
            self._merge = True
        else:
            self._make_parents(self.target.parent)
        # Inside an existing folder rather than beside it: that one may be a mount of its own.
        parent = self.target if self._merge else self.target.parent
        stage = parent / temporary_name()
        self._note(stage)
        stage.mkdir(mode=0o700)
        self.stage = self._temporary = stage


def _end_of_link(link: Path) -> Path:
    try:
        return Path(os.path.realpath(link, strict=True))
    except FileNotFoundError:
        message = "{} is a link whose target does not exist"
        raise DanglingLink(**about(message, link)) from None
