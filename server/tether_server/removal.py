"""Removing sandboxes from outside: whoever controls them is told by their end."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import suppress

from .backends import open_backend
from .inventory import Listed
from .record import SandboxRecord, drop_record

REMOVALS_AT_ONCE = 8


async def remove(found: Listed, *, history: bool) -> str:
    """Stop a sandbox and free everything it holds; returns what was done, in words.

    With `history` the record of what happened in it goes too, unless a living server still
    writes it. Twice is safe. Raises `EngineUnavailable` when its engine does not answer.
    """
    if found.record is not None:
        await _stop(found.record)
    elif found.container is not None:
        await asyncio.to_thread(_remove_container, found.container)
    what = _what(found)
    if found.folder is None:
        return what
    if not history:
        drop_record(found.name)
        return what
    if found.server_pid is not None:
        drop_record(found.name)
        return f"{what}; its history stays, its server (pid {found.server_pid}) is still there"
    shutil.rmtree(found.folder, ignore_errors=True)
    return what


async def _stop(record: SandboxRecord) -> None:
    from tether_runtime_client.protocol.errors import SandboxGone, SandboxNotFound

    backend = open_backend(record.backend)
    try:
        sandbox = await backend.attach(record)
        await sandbox.stop()
    except SandboxNotFound:
        return  # it has ended by itself
    except SandboxGone:  # its container is stopped or paused: there is nobody to attach to
        if "container" not in record.handle:
            raise
        await asyncio.to_thread(_remove_container, record.handle["container"])
    finally:
        await backend.close()


def _remove_container(container: str) -> None:
    import docker.errors

    from .backends.docker import connect_engine
    from .sidecars.container import remove_all

    engine = connect_engine()
    try:
        with suppress(docker.errors.NotFound):
            engine.api.remove_container(container, v=True, force=True)
        remove_all(engine, container)
    finally:
        engine.close()


def _what(found: Listed) -> str:
    match found.state:
        case "running" | "paused" | "stopped" | "unknown":
            kind = "orphaned sandbox" if found.orphan else "sandbox"
        case "gone":
            kind = "what was left of sandbox"
        case "starting":
            kind = "half-started sandbox"
        case "ended":
            kind = "history of sandbox"
    return f"{kind} {found.name}"
