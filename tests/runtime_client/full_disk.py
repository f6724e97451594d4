"""A file system that can be filled: a small tmpfs, where this may be mounted (as root)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

import pytest


@contextmanager
def small_disk(path: Path, megabytes: int) -> Iterator[Path]:
    """`path` as a file system of its own of that size; gone afterwards."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    path.mkdir(exist_ok=True)
    options = ["-t", "tmpfs", "-o", f"size={megabytes}m", "none", str(path)]
    subprocess.run(["mount", *options], check=True, stdin=subprocess.DEVNULL)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True, stdin=subprocess.DEVNULL)


def fill(folder: Path) -> Path:
    """Take all that is left; removing the file gives it back."""
    path = folder / "filler"
    with path.open("ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with pytest.raises(OSError, match="No space left"):
                write_for_ever(file, b"x" * size)
    return path


def write_for_ever(file: FileIO, data: bytes) -> None:
    """Until the disk is full."""
    while True:
        file.write(data)
