"""Tells pip which wheels fit: those for the oldest glibc that the environment's images may have."""

import os


def manylinux_compatible(major: int, minor: int, machine: str) -> bool | None:
    """None leaves it to pip, which goes by the glibc that the environment brings."""
    oldest = os.environ.get("GLIBC")
    return None if not oldest else (major, minor) <= tuple(map(int, oldest.split(".")))
