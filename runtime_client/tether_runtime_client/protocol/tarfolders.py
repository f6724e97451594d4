"""The folders that an archive is unpacked into, reached without ever following a link."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise

from .errors import TransferError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_DEPTH = 400
#: In one link's target. More is nobody's need, and each takes time to check.
_MAX_UPS = 100


class Folders:
    """The destination's folders, each opened from its parent, made where missing.

    The way to the last one entered is kept open: members of one folder follow one another.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._way: list[tuple[bytes, int]] = []
        self._entered: tuple[bytes, ...] | None = None

    def enter(self, parts: tuple[bytes, ...]) -> int:
        """A descriptor of that folder, good until the next call."""
        if parts == self._entered:
            return self._last
        self._entered = None
        if len(parts) > _MAX_DEPTH:
            raise TransferError(f"the archive nests folders more than {_MAX_DEPTH} deep")
        common = 0
        for (name, _), part in zip(self._way, parts, strict=False):
            if name != part:
                break
            common += 1
        self._leave(common)
        for part in parts[common:]:
            self._way.append((part, _make_folder(part, self._last)))
        self._entered = parts
        return self._last

    @contextmanager
    def opened(self, parts: tuple[bytes, ...]) -> Iterator[int]:
        """A descriptor of a folder that is there, for a moment, and beside the one entered."""
        descriptor = os.dup(self._root)
        try:
            for part in parts:
                below = os.open(part, _FOLDER, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)

    def leads_out(self, parts: tuple[bytes, ...], target: bytes) -> str | None:
        """Why a link in the folder `parts` with that target may lead out; None if it cannot.

        Leading `..` count down from a folder that is none by way of a link. A later `..` goes up
        from wherever the name before it leads, which is known only of a folder that is there.
        """
        if target.startswith(b"/"):
            return "is absolute"
        here = list(parts)
        names = [name for name in target.split(b"/") if name not in (b"", b".")]
        if names.count(b"..") > _MAX_UPS:
            return "goes up too often"
        for name, following in pairwise([*names, b""]):
            if name != b"..":
                here.append(name)
                if following == b".." and not self._is_folder(tuple(here)):
                    return "goes up again from something that is no folder yet"
            elif here:
                here.pop()
            else:
                return "leads out of the destination"
        return None

    def close(self) -> None:
        """Close all of them."""
        self._leave(0)

    @property
    def _last(self) -> int:
        return self._way[-1][1] if self._way else self._root

    def _leave(self, keep: int) -> None:
        while len(self._way) > keep:
            os.close(self._way.pop()[1])

    def _is_folder(self, parts: tuple[bytes, ...]) -> bool:
        try:
            with self.opened(parts):
                return True
        except OSError:
            return False


def _make_folder(name: bytes, parent: int) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=parent)
    except FileNotFoundError:
        with suppress(FileExistsError):
            os.mkdir(name, 0o755, dir_fd=parent)
    return os.open(name, _FOLDER, dir_fd=parent)
