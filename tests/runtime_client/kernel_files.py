"""A file system that the kernel makes up, in the middle of a tree (as root)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def kernel_files(path: Path) -> Iterator[Path]:
    """`path` as another /proc; gone afterwards."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    path.mkdir()
    subprocess.run(["mount", "-t", "proc", "none", str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)
