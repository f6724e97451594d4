"""What is mapped on this machine, by whom: a file for each mapping in its sandbox's folder.

Whoever finds an address taken can say who has it, and the command can list what there is.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from tether_runtime_client.protocol.message import Message

from ..record import process_start, sandbox_folder, state_folder

_TCP_LISTEN = "0A"


class PortRecord(Message):
    """One mapping: addresses as text, and the process that holds it."""

    sandbox: str
    direction: Literal["forward", "reverse"]
    inside: str
    here: str
    url: str
    protection: str = ""
    pid: int
    start: int


def note(record: PortRecord) -> Path:
    """Write it down; the file goes when the mapping does."""
    folder = sandbox_folder(record.sandbox) / "ports"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{record.pid}-{secrets.token_hex(4)}.json"
    temporary = path.with_suffix(".new")
    temporary.write_text(record.model_dump_json())
    temporary.replace(path)
    return path


def listed(sandbox: str | None = None) -> list[PortRecord]:
    """Those whose process lives, of one sandbox or of all; what dead ones left is removed."""
    folder = state_folder() / "sandboxes"
    found = []
    for path in sorted(folder.glob(f"{sandbox or '*'}/ports/*.json")):
        record = _read(path)
        if record is not None and process_start(record.pid) == record.start:
            found.append(record)
        else:
            path.unlink(missing_ok=True)
    return found


def owner_of(here: str, port: int) -> str:
    """Who listens at a local address, as far as that can be seen: in words."""
    for record in listed():
        if record.direction == "forward" and _same_port(record.here, here, port):
            what = f"sandbox {record.sandbox} forwards {record.inside} there"
            return f"{what} (process {record.pid})"
    for pid, name in _listeners(port):
        return f"process {pid} ({name}) listens there"
    return "another process listens there"


def _same_port(one: str, other: str, port: int) -> bool:
    return one == other or (port > 0 and one.rpartition(":")[2] == str(port))


def _read(path: Path) -> PortRecord | None:
    try:
        return PortRecord.model_validate_json(path.read_bytes())
    except (OSError, ValidationError, json.JSONDecodeError):
        return None


def _listeners(port: int) -> Iterator[tuple[int, str]]:
    """The processes that listen on a TCP port of this network, those that we may look at."""
    inodes = {f"socket:[{inode}]" for inode in _inodes(port)} if port else set()
    if not inodes:
        return
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            links = [os.readlink(entry) for entry in (folder / "fd").iterdir()]
        except OSError:
            continue
        if not inodes.isdisjoint(links):
            yield int(folder.name), _name(folder)


def _inodes(port: int) -> Iterator[str]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            if fields[3] == _TCP_LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _name(folder: Path) -> str:
    try:
        return (folder / "comm").read_text().strip()
    except OSError:
        return "?"
