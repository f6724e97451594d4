"""Looks for secrets in what a step has written, before an image is made of it."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Any

from .secrets import readable_forms

if TYPE_CHECKING:
    import docker

_MODIFIED, _ADDED = 0, 1
_CHUNK = 1 << 20


def find_traces(
    api: docker.APIClient, container: str, secrets: Mapping[str, bytes]
) -> dict[str, str]:
    """The names of secrets that a container's files hold, each with the path of one that does.

    They are found as they are and in base64. Only what was written in the container is read.
    """
    forms = {name: readable_forms(value) for name, value in secrets.items()}
    found: dict[str, str] = {}
    for path, whole in _written(api.diff(container) or ()):
        for file, content in _files(api, container, path, whole=whole):
            for name in _search(content, forms) - found.keys():
                found[name] = file
    return found


def _written(changes: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, bool]]:
    """What was changed, and the highest of what was added, with all that is below it (True)."""
    added: set[PurePosixPath] = set()
    for change in sorted(changes, key=lambda change: str(change["Path"])):
        path = PurePosixPath(change["Path"])
        if added.intersection(path.parents):
            continue
        if change["Kind"] == _ADDED:
            added.add(path)
        if change["Kind"] in (_MODIFIED, _ADDED):
            yield str(path), change["Kind"] == _ADDED


def _files(
    api: docker.APIClient, container: str, path: str, *, whole: bool
) -> Iterator[tuple[str, IO[bytes]]]:
    """Files at or below a path with their contents; a folder that was only changed has none."""
    chunks, _ = api.get_archive(container, path)
    stream = io.BufferedReader(_Chunks(chunks), _CHUNK)
    above = PurePosixPath(path).parent
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            if member.isdir() and not whole:
                break
            file = archive.extractfile(member) if member.isreg() else None
            # A name may tell as much as a content, and so may where a link leads.
            text = io.BytesIO(os.fsencode(f"{member.name} {member.linkname}"))
            name = str(above / member.name)
            yield name, text
            if file is not None:
                yield name, file
    stream.close()


def _search(content: IO[bytes], forms: Mapping[str, frozenset[bytes]]) -> set[str]:
    """The names of those of which a form is in the content."""
    overlap = max((len(form) for each in forms.values() for form in each), default=1) - 1
    found: set[str] = set()
    window = b""
    while chunk := content.read(_CHUNK):
        window = window[-overlap:] + chunk if overlap else chunk
        found |= {name for name, each in forms.items() if any(form in window for form in each)}
    return found


class _Chunks(io.RawIOBase):
    """What the engine sends, as a file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        super().__init__()
        self._chunks = chunks
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            if (chunk := next(self._chunks, None)) is None:
                return 0
            self._left = chunk
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size

    def close(self) -> None:
        if not self.closed:
            self._chunks.close()  # type: ignore[attr-defined]
        super().close()
