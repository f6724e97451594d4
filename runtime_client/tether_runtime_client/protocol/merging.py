"""Moving a tree that is complete over one that is there, and removing one that is given up."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import PathIsADirectory, PathNotADirectory
from .os_errors import about

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def temporary_name() -> str:
    """A name nobody has, short enough for any file system."""
    return f".tether-{secrets.token_hex(8)}.part"


def merge_tree(stage: Path, target: Path) -> None:
    """Move everything in the folder `stage` into the folder `target`.

    Folders that are there already stay and keep their modes; all else is replaced, each name in
    one step. Raises a `FileError` before anything is moved when a folder and something else
    have the same name.
    """
    with _open_folder(stage) as source, _open_folder(target) as into:
        _check(source, into, target)
        _move_all(source, into)


def remove_tree(path: Path) -> None:
    """Remove a file, or a folder with everything in it, whatever the modes. Gone is fine."""
    try:
        if not stat.S_ISDIR(path.lstat().st_mode):
            path.unlink()
            return
    except FileNotFoundError:
        return
    try:
        shutil.rmtree(path)
    except PermissionError:  # folders that came without the right to write in them
        _open_up(path)
        shutil.rmtree(path)


def _open_up(path: Path) -> None:
    path.chmod(0o700)
    for _, folders, _, descriptor in os.fwalk(path, follow_symlinks=False):
        for name in folders:
            if stat.S_ISDIR(os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode):
                os.chmod(name, 0o700, dir_fd=descriptor)


@contextmanager
def _open_folder(path: str | Path, parent: int | None = None) -> Iterator[int]:
    descriptor = os.open(path, _DIRECTORY, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _check(source: int, target: int, shown: Path) -> None:
    """Raise what would stand in the way, before anything is moved."""
    for name, comes in _entries(source):
        there = _is_folder(name, target)
        if there and not comes:
            raise PathIsADirectory(**about("{} is a directory", shown / name))
        if comes and there is False:
            raise PathNotADirectory(**about("{} is no directory", shown / name))
        if comes and there:
            with _open_folder(name, source) as below, _open_folder(name, target) as to:
                _check(below, to, shown / name)


def _move_all(source: int, target: int) -> None:
    for name, comes in _entries(source):
        if comes and _is_folder(name, target):
            with _open_folder(name, source) as below, _open_folder(name, target) as to:
                _move_all(below, to)
        elif comes:
            _move_folder(name, source, target)
        else:
            _move(name, source, target)


def _entries(folder: int) -> list[tuple[str, bool]]:
    with os.scandir(folder) as entries:
        return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]


def _is_folder(name: str, parent: int) -> bool | None:
    """Whether the name is a folder's; None when nothing has it."""
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return None


def _move_folder(name: str, source: int, target: int) -> None:
    """A folder can be moved only while its owner may write in it: its `..` changes."""
    with _open_folder(name, source) as descriptor:
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        if mode & stat.S_IWUSR:
            _move(name, source, target)
        else:
            os.fchmod(descriptor, mode | stat.S_IWUSR)
            _move(name, source, target)
            os.fchmod(descriptor, mode)


def _move(name: str, source: int, target: int) -> None:
    try:
        os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
    except OSError as problem:
        if problem.errno != errno.EXDEV:
            raise
        _copy(name, source, target)


def _copy(name: str, source: int, target: int) -> None:
    """Into a folder of the tree where something else is mounted: copied, then renamed."""
    came = Path(f"/proc/self/fd/{source}/{name}")
    into = Path(f"/proc/self/fd/{target}")
    temporary = into / temporary_name()
    try:
        if came.is_dir() and not came.is_symlink():
            shutil.copytree(came, temporary, symlinks=True)
        else:
            shutil.copy2(came, temporary, follow_symlinks=False)
        temporary.rename(into / name)
    except BaseException:
        remove_tree(temporary)
        raise
