"""What it takes to undo edits, on disk: one small file for each edit.

A step notes the one stretch of bytes that the edit replaced, and a checksum of the file before
and after, so that an undo never wipes out what something else has written since.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass

MAX_STEPS = 2_000
"""Steps kept for one file; the oldest go first."""
_HEAD = ("offset", "inserted", "before", "after", "encoding")


@dataclass(frozen=True, slots=True)
class Step:
    """One edit: `inserted` bytes at `offset` took the place of `removed`.

    `before` and `after` are checksums of the whole file; `before` is None when the edit made it.
    `encoding` is what the file was taken for.
    """

    offset: int
    inserted: int
    removed: bytes
    before: str | None
    after: str
    encoding: str = "utf-8"

    @classmethod
    def between(cls, before: bytes, after: bytes, encoding: str) -> Step:
        """The step from one content to another, as short as it can be."""
        start, removed, inserted = difference(before, after)
        cut = before[start : start + removed]
        return cls(start, inserted, cut, _checksum(before), _checksum(after), encoding)

    @classmethod
    def creating(cls, after: bytes) -> Step:
        """The step that made a file."""
        return cls(0, len(after), b"", None, _checksum(after))

    @property
    def created(self) -> bool:
        """True when undoing removes the file."""
        return self.before is None

    def made(self, data: bytes) -> bool:
        """True when the file is as this step left it."""
        return _checksum(data) == self.after

    def never_made(self, data: bytes) -> bool:
        """True when the file is as it was before this step, which then did not happen."""
        return self.before is not None and _checksum(data) == self.before != self.after

    def undone(self, data: bytes) -> bytes:
        """The content before this step."""
        return b"".join((data[: self.offset], self.removed, data[self.offset + self.inserted :]))


class History:
    """The steps of all files, in one folder that this object alone changes, in one thread."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        #: The numbers of the steps there are, by folder, oldest first; listed once.
        self._known: dict[str, list[int]] = {}

    def push(self, path: str, step: Step) -> None:
        """Note a step, before it is made. Raises OSError; nothing is noted then."""
        folder = self._of(path)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        numbers = self._numbers(folder)
        number = numbers[-1] + 1 if numbers else 1
        head = {name: getattr(step, name) for name in _HEAD}
        _write(os.path.join(folder, str(number)), json.dumps(head).encode() + b"\n" + step.removed)
        numbers.append(number)
        while len(numbers) > MAX_STEPS:
            _remove(os.path.join(folder, str(numbers.pop(0))))

    def last(self, path: str) -> Step | None:
        """The newest step of a file, or None; what cannot be understood is none."""
        folder = self._of(path)
        numbers = self._numbers(folder)
        if not numbers:
            return None
        with open(os.path.join(folder, str(numbers[-1])), "rb") as file:
            head, _, removed = file.read().partition(b"\n")
        try:
            return Step(**json.loads(head), removed=removed)
        except (ValueError, TypeError):
            return None

    def pop(self, path: str) -> None:
        """Forget the newest step of a file."""
        folder = self._of(path)
        numbers = self._numbers(folder)
        if numbers:
            _remove(os.path.join(folder, str(numbers.pop())))

    def _numbers(self, folder: str) -> list[int]:
        if folder not in self._known:
            self._known[folder] = _listed(folder)
        return self._known[folder]

    def _of(self, path: str) -> str:
        """The same for every way to name a file: links and relative paths are resolved."""
        whole = os.fsencode(os.path.realpath(path))
        return os.path.join(self._folder, hashlib.blake2b(whole, digest_size=16).hexdigest())


def _listed(folder: str) -> list[int]:
    try:
        return sorted(int(name) for name in os.listdir(folder) if name.isdecimal())
    except FileNotFoundError:
        return []


def _write(path: str, data: bytes) -> None:
    try:
        with open(f"{path}.new", "wb") as file:
            file.write(data)
        os.rename(f"{path}.new", path)
    except OSError:
        _remove(f"{path}.new")
        raise


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def _checksum(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def difference(before: bytes, after: bytes) -> tuple[int, int, int]:
    """Where two contents differ: the offset, and the lengths in `before` and in `after`."""
    start = _common_start(before, after)
    end = _common_end(before[start:], after[start:])
    return start, len(before) - end - start, len(after) - end - start


def _common_start(one: bytes, other: bytes) -> int:
    """How many bytes both begin with, in steps of halving: comparing slices is fast."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _common_end(one: bytes, other: bytes) -> int:
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[len(one) - middle : len(one) - low] == other[len(other) - middle : len(other) - low]:
            low = middle
        else:
            high = middle - 1
    return low
