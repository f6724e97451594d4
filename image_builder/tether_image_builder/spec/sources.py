"""The files of a spec's folder, read so that nothing outside of it can be reached.

Each part of a path is opened from the folder before it, and never through a symbolic link: what
somebody puts in the way between two looks is refused too. What comes out depends on names,
contents and permissions only, so that any checkout gives the same.
"""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, Protocol

from .errors import source_refused

if TYPE_CHECKING:
    from hashlib import _Hash

    from .model import FileStep

ROOT = "tree"  # the folder of an archive that holds the sources
OLDEST = 315_532_800  # 1980: a zip archive, as Python's wheels are, can hold no earlier time
_FOLDER_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY | os.O_NOFOLLOW
_ANY_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
_CHUNK = 1 << 20


class Readable(Protocol):
    """Gives bytes."""

    def read(self, size: int = -1, /) -> bytes:
        """At most so many of them; none at the end."""


@dataclass(frozen=True)
class Entry:
    """A file or a folder: its path below the destination, and the permissions it will have."""

    path: str
    is_folder: bool
    mode: int
    size: int

    @property
    def mark(self) -> bytes:
        """What a digest takes of it, the content apart."""
        path = os.fsencode(self.path)
        kind = "folder" if self.is_folder else "file"
        return f"{kind} {self.mode:o} {self.size} {len(path)} ".encode() + path


@dataclass(frozen=True)
class Content:
    """What a file step copies.

    Attributes:
        digest: 64 hexadecimal digits over names, permissions and bytes.
        is_folder: the source is a folder.
        files: how many files.
        bytes: of all of them.
    """

    digest: str
    is_folder: bool
    files: int
    bytes: int


def look_at(folder: Path, step: FileStep) -> Content:
    """Reads the sources of a step.

    Raises:
        SpecInvalid: a source is missing, or is one that is refused.
    """
    files = size = 0
    with opened(folder, step) as source:
        total = source.digest()
        for entry, file in source.entries():
            total.update(entry.mark)
            if file is not None:
                files, size = files + 1, size + entry.size
                while chunk := file.read(_CHUNK):
                    total.update(chunk)
    return Content(total.hexdigest(), source.is_folder, files, size)


def write_archive(folder: Path, step: FileStep, dockerfile: bytes, target: BinaryIO) -> str:
    """Writes a build context with the sources of a step in `tree/`; gives their digest.

    Raises:
        SpecInvalid: a source is missing, or is one that is refused.
    """
    with tarfile.open(fileobj=target, mode="w") as archive, opened(folder, step) as source:
        total = source.digest()
        archive.addfile(_member(Entry(ROOT, True, 0o755, 0)))
        for entry, file in source.entries():
            total.update(entry.mark)
            member = _member(entry, f"{ROOT}/")
            try:
                archive.addfile(member, None if file is None else _Tapped(file, total))
            except OSError as problem:  # it got shorter
                raise source_refused(step.source, entry.path, str(problem)) from None
        text = tarfile.TarInfo("Dockerfile")
        text.size = len(dockerfile)
        archive.addfile(text, io.BytesIO(dockerfile))
    return total.hexdigest()


class _Tapped(io.RawIOBase):
    """A file whose bytes also go into a digest."""

    def __init__(self, file: Readable, total: _Hash) -> None:
        super().__init__()
        self._file = file
        self._total = total

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._total.update(data)
        return data


def _member(entry: Entry, prefix: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(f"{prefix}{entry.path}")
    member.type = tarfile.DIRTYPE if entry.is_folder else tarfile.REGTYPE
    member.mode, member.size, member.mtime = entry.mode, entry.size, OLDEST
    return member


@dataclass(frozen=True)
class Source:
    """What a step copies, opened."""

    step: FileStep
    descriptor: int
    is_folder: bool

    def digest(self) -> _Hash:
        """A digest that says no more yet than which kind of thing this is."""
        return sha256(b"folder" if self.is_folder else b"file")

    def entries(self) -> Iterator[tuple[Entry, Readable | None]]:
        """All of it, a folder before what is in it, in the order of the names' bytes.

        A file is open until the next entry is asked for.
        """
        mode = None if self.step.mode is None else int(self.step.mode, 8)
        walk = _Walk(self.step.source, mode)
        if self.is_folder:
            return walk.below(self.descriptor, "")
        return walk.file(self.descriptor, placed_name(self.step))


def placed_name(step: FileStep) -> str:
    """What a single file is called in the image."""
    keeps_name = step.destination.endswith("/")
    return PurePosixPath(step.source if keeps_name else step.destination).name


@contextmanager
def opened(folder: Path, step: FileStep) -> Iterator[Source]:
    """Opens the source of a step, one part of its path after the other.

    Raises:
        SpecInvalid: it is missing, or is one that is refused.
    """
    source = step.source
    parts = PurePosixPath(source).parts
    with ExitStack() as stack:
        try:
            current = os.open(folder, _FOLDER_FLAGS & ~os.O_NOFOLLOW)
        except OSError as problem:
            raise source_refused(source, str(folder), str(problem.strerror)) from None
        stack.callback(os.close, current)
        for depth, part in enumerate(parts, 1):
            is_last = depth == len(parts)
            path = "/".join(parts[:depth])
            current = _open(current, part, source, path, _ANY_FLAGS if is_last else _FOLDER_FLAGS)
            stack.callback(os.close, current)
        yield Source(step, current, stat.S_ISDIR(os.fstat(current).st_mode))


def _open(folder: int, name: str, source: str, path: str, flags: int) -> int:
    try:
        return os.open(name, flags, dir_fd=folder)
    except OSError as problem:
        raise source_refused(source, path, _reason(folder, name, problem)) from None


def _reason(folder: int, name: str, problem: OSError) -> str:
    """Why it was not opened, in plain words; nothing depends on this second look."""
    try:
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except OSError:
        return "there is no such file or folder"
    return _refused_kind(mode) or str(problem.strerror)


def _refused_kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "it is a symbolic link, which could lead out of the spec's folder"
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        return "it is neither a file nor a folder"
    return ""


class _Walk:
    """Goes through what a step copies; `mode` is what the step says of permissions."""

    def __init__(self, source: str, mode: int | None) -> None:
        self._source = source
        self._mode = mode

    def below(self, folder: int, path: str) -> Iterator[tuple[Entry, Readable | None]]:
        for name in sorted(os.listdir(folder), key=os.fsencode):
            inner = f"{path}{name}"
            descriptor = _open(folder, name, self._source, inner, _ANY_FLAGS)
            try:
                if stat.S_ISDIR(facts := os.fstat(descriptor).st_mode):
                    yield Entry(inner, True, self._folder_mode(facts), 0), None
                    yield from self.below(descriptor, f"{inner}/")
                else:
                    yield from self.file(descriptor, inner)
            finally:
                os.close(descriptor)

    def file(self, descriptor: int, path: str) -> Iterator[tuple[Entry, Readable | None]]:
        facts = os.fstat(descriptor)
        if refused := _refused_kind(facts.st_mode):
            raise source_refused(self._source, path, refused)
        mode = facts.st_mode & 0o777 if self._mode is None else self._mode
        with open(descriptor, "rb", closefd=False) as file:
            yield Entry(path, False, mode, facts.st_size), _Limited(file, facts.st_size)

    def _folder_mode(self, own: int) -> int:
        if self._mode is None:
            return own & 0o777
        return self._mode | (self._mode & 0o444) >> 2  # whoever may read may enter


class _Limited(io.RawIOBase):
    """So many bytes of a file, also where it grows while it is read."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        super().__init__()
        self._file = file
        self._left = size

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        data = self._file.read(wanted)
        self._left -= len(data)
        return data
