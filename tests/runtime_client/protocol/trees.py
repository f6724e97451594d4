"""Trees and archives for the tests of tar streams. Not collected by pytest."""

import io
import os
import stat
import tarfile
from pathlib import Path

from tether_runtime_client.protocol.tarheader import padding
from tether_runtime_client.protocol.tarstream import Packed, Unpacked, pack, unpack

Snapshot = dict[bytes, tuple[object, ...]]


def snapshot(root: Path) -> Snapshot:
    """Everything about a tree that a round trip must keep, the root included."""
    found: Snapshot = {}
    inodes: dict[int, bytes] = {}
    top = os.fsencode(root)
    for folder, folders, files in os.walk(top):
        for name in [b"", *folders, *files] if folder == top else [*folders, *files]:
            path = os.path.join(folder, name) if name else folder
            about = os.lstat(path)
            relative = os.path.relpath(path, top)
            first = inodes.setdefault(about.st_ino, relative)
            found[relative] = (about.st_mode, about.st_mtime_ns, first, _content(path, about))
    return found


def _content(path: bytes, about: os.stat_result) -> bytes:
    if stat.S_ISLNK(about.st_mode):
        return os.readlink(path)
    if stat.S_ISREG(about.st_mode):
        with open(path, "rb") as file:
            return file.read()
    return b""


def packed(path: Path, **options: str) -> tuple[bytes, Packed]:
    stream = io.BytesIO()
    summary = pack(path, stream.write, **options)
    return stream.getvalue(), summary


def unpacked(stream: bytes, path: Path, **options: object) -> Unpacked:
    path.mkdir(exist_ok=True)
    return unpack(io.BytesIO(stream).read, path, **options)  # type: ignore[arg-type]


def make_tree(root: Path) -> Path:
    root.mkdir()
    (root / "folder" / "deep").mkdir(parents=True)
    (root / "empty").mkdir(mode=0o700)
    (root / "folder" / "file").write_bytes(b"content\0\xff")
    (root / "folder" / "program").write_text("#!/bin/sh\n")
    (root / "folder" / "program").chmod(0o751)
    (root / "folder" / "deep" / "other name").write_bytes(b"")
    os.link(root / "folder" / "file", root / "again")
    (root / "link").symlink_to("folder/file")
    (root / "folder" / "up").symlink_to("../empty")
    (root / "dangling").symlink_to("no/such")
    (root / "locked").mkdir()
    (root / "locked" / "inside").write_text("x")
    (root / "locked").chmod(0o555)
    os.utime(root / "folder", ns=(0, 1_234_567_890_123_456_789))
    os.utime(root / "folder" / "file", ns=(0, 987_654_321))
    os.utime(root / "link", ns=(0, -5_000_000_001), follow_symlinks=False)
    return root


def member(
    name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, **fields: object
) -> bytes:
    """One member as an attacker may write it, by tarfile, which checks nothing."""
    info = tarfile.TarInfo(name)
    info.size, info.type = len(content), kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info.tobuf(tarfile.PAX_FORMAT) + content + bytes(padding(len(content)))


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> bytes:
    return member(name, kind=kind, linkname=target)


def folder(name: str, mode: int = 0o755) -> bytes:
    return member(name, kind=tarfile.DIRTYPE, mode=mode)


def archive(*members: bytes) -> bytes:
    return b"".join(members) + bytes(1024)
