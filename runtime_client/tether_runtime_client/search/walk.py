"""Walking a tree in order, without following links, and without being led astray."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from ..globs import Globs
from .ignore import REPOSITORY, Ignores, ignores_above

MAX_UNREADABLE = 100
"""The most folders and files that are named because they could not be looked into."""

#: File systems that the kernel makes up: their files may never end, or wait for ever.
_MADE_UP = frozenset(
    [
        "bpf",
        "cgroup",
        "cgroup2",
        "configfs",
        "debugfs",
        "devpts",
        "efivarfs",
        "fusectl",
        "mqueue",
        "proc",
        "pstore",
        "securityfs",
        "sysfs",
        "tracefs",
    ]
)


@dataclass(frozen=True, slots=True)
class Found:
    """Something below the top: its `path` from there, and its own attributes, not its target's."""

    path: str
    name: str
    attributes: os.stat_result
    depth: int

    @property
    def is_folder(self) -> bool:
        """True for a folder, also one that is not looked into."""
        return stat.S_ISDIR(self.attributes.st_mode)

    def matches(self, globs: Globs) -> bool:
        """Whether one of them stands for it."""
        return globs.match(self.path, self.name, folder=self.is_folder)


class Walk:
    """What is below the folder `top`: by name in the order of bytes, each folder before its
    content. Children of the top have depth 1.

    Left out are what `ignore` rules and `exclude` name, `.git` folders where ignore rules count,
    and mounted file systems that the kernel makes up (/proc), unless `top` is in one.
    Iterating raises OSError for `top` alone.
    """

    def __init__(
        self,
        top: str,
        *,
        ignore: bool = False,
        exclude: Globs | None = None,
        max_depth: int | None = None,
        one_file_system: bool = False,
    ) -> None:
        self._top = os.path.realpath(top) if top else top  # nothing is no folder
        self._ignore = ignore
        self._exclude = exclude
        self._max_depth = max_depth
        self._made_up = made_up_devices()
        self._one_file_system = one_file_system
        #: What could not be looked into, as paths from the top.
        self.unreadable: list[str] = []

    def absolute(self, path: str) -> str:
        """The place of a path from the top."""
        return os.path.join(self._top, path)

    def target(self, found: Found) -> str | None:
        """Where a link leads, as it says; None for what is none."""
        if not stat.S_ISLNK(found.attributes.st_mode):
            return None
        try:
            return os.readlink(self.absolute(found.path))
        except OSError:  # gone, or another thing by now
            return None

    def note(self, path: str) -> None:
        """Something at this path could not be read."""
        if len(self.unreadable) < MAX_UNREADABLE:
            self.unreadable.append(path)

    def __iter__(self) -> Iterator[Found]:
        """Without recursion of calls: trees may be deep."""
        device = os.stat(self._top).st_dev
        rules = ignores_above(self._top) if self._ignore else Ignores()
        waiting = [self._children("", 0, device, rules)]
        while waiting:
            try:
                found, rules = next(waiting[-1])
            except StopIteration:
                waiting.pop()
                continue
            yield found
            if found.is_folder and self._enters(found, device):
                inside = found.attributes.st_dev
                try:
                    waiting.append(self._children(found.path, found.depth, inside, rules))
                except OSError:
                    self.note(found.path)

    def _enters(self, found: Found, device: int) -> bool:
        inside = found.attributes.st_dev
        if inside != device and (self._one_file_system or inside in self._made_up):
            return False
        return self._max_depth is None or found.depth < self._max_depth

    def _children(
        self, path: str, depth: int, device: int, rules: Ignores
    ) -> Iterator[tuple[Found, Ignores]]:
        """The folder is read at once, the attributes of what is in it one by one."""
        folder = self.absolute(path)
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: os.fsencode(entry.name))
        base = folder.rstrip("/") + "/"
        if self._ignore:
            rules = rules.inside(base, (entry.name for entry in found))
        return self._chosen(found, path, base, depth + 1, rules)

    def _chosen(
        self, entries: list[os.DirEntry[str]], path: str, base: str, depth: int, rules: Ignores
    ) -> Iterator[tuple[Found, Ignores]]:
        for entry in entries:
            below = f"{path}/{entry.name}" if path else entry.name
            try:
                attributes = entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # gone
                continue
            except OSError:  # too deep for a name, or in a folder that may be listed, not entered
                self.note(below)
                continue
            found = Found(below, entry.name, attributes, depth)
            if not self._left_out(found, base, rules):
                yield found, rules

    def _left_out(self, found: Found, base: str, rules: Ignores) -> bool:
        if self._exclude is not None and found.matches(self._exclude):
            return True
        if not self._ignore:
            return False
        name = found.name
        return name == REPOSITORY or rules.ignored(base + name, name, found.is_folder)


def made_up_devices() -> frozenset[int]:
    """Device numbers of the mounted file systems that the kernel makes up."""
    try:
        with open("/proc/self/mountinfo", "rb") as file:
            lines = file.read().split(b"\n")
    except OSError:
        return frozenset()
    devices: set[int] = set()
    for line in lines:
        before, _, after = line.partition(b" - ")
        words = before.split()
        kind = after.split(b" ", 1)[0].decode("ascii", "replace")
        if len(words) > 2 and kind in _MADE_UP:
            major, _, minor = words[2].partition(b":")
            devices.add(os.makedev(int(major), int(minor)))
    return frozenset(devices)
