"""Which glibc an image has, read out of its files; nothing runs in it."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from .memory import recall, remember

if TYPE_CHECKING:
    from .engine import Engine, ImageFiles

LOADERS = {
    "linux/amd64": "/lib64/ld-linux-x86-64.so.2",
    "linux/arm64": "/lib/ld-linux-aarch64.so.1",
}
_SYMBOL_VERSION = re.compile(rb"\0GLIBC_(\d+)\.(\d+)")

Version = tuple[int, int]


def glibc_of(engine: Engine, image_id: str, platform: str) -> Version | None:
    """The newest symbol version of the image's glibc, None where it has no glibc.

    The answer is remembered for each image id. An empty file at the loader's place, and the
    stand-ins that musl systems have there, are none.
    """
    known = recall("glibc", image_id)
    if known is None:
        with engine.files(image_id) as files:
            known = list(_glibc(files, platform) or ())
        remember("glibc", image_id, known)
    return (known[0], known[1]) if known else None


def _glibc(files: ImageFiles, platform: str) -> Version | None:
    loader = files.read(LOADERS.get(platform, ""))
    if loader is None or _newest(loader.content) is None:
        return None
    library = files.read(str(PurePosixPath(loader.path).with_name("libc.so.6")))
    return _newest(library.content) if library is not None else None


def _newest(content: bytes) -> Version | None:
    versions = [(int(found[1]), int(found[2])) for found in _SYMBOL_VERSION.finditer(content)]
    return max(versions, default=None)


def version(text: str) -> Version:
    """`2.28` as numbers."""
    major, minor = text.split(".")
    return int(major), int(minor)
