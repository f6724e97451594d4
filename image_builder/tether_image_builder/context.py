"""Build contexts: archives in memory that depend on names and contents only."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Collection, Mapping


def context_archive(
    files: Mapping[str, bytes],
    folders: tuple[str, ...] = (),
    executable: Collection[str] = (),
) -> bytes:
    """A tar archive of files owned by root, without time stamps."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in folders:
            archive.addfile(_folder(name))
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size = len(files[name])
            member.mode = 0o755 if name in executable else 0o644
            archive.addfile(member, io.BytesIO(files[name]))
    return buffer.getvalue()


def _folder(name: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = tarfile.DIRTYPE
    member.mode = 0o755
    return member
