"""One sandbox, from its record to a real handshake."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from tether_runtime_client.protocol.errors import TetherError
from tether_runtime_client.protocol.events import ClientStarted, Connected

from ..history import History
from ..inventory import Listed, take_inventory
from ..operator import OperatorRuntime
from ..record import SandboxRecord
from .findings import Finding
from .text import age, size, visible

HANDSHAKE_TIMEOUT_S = 15.0


def check_sandbox(name: str) -> Iterator[Finding]:
    """Everything about one sandbox; ends where it makes no sense to go on."""
    found = next((s for s in take_inventory().sandboxes if s.name == name), None)
    if found is None:
        text = f"nothing is known of a sandbox named {visible(name)}"
        yield Finding("sandbox", "missing", text, "`tether ps --all` lists what there is")
        return
    yield _state(found)
    yield _server(found)
    yield from _history(found)
    if found.record is not None and found.state == "running":
        yield asyncio.run(_handshake(found.record))


def _state(found: Listed) -> Finding:
    since = age(time.time() - found.created)
    detail = f"{found.backend or 'unknown backend'}, {found.image or 'no image'}, since {since}"
    if found.state == "running":
        return Finding("sandbox", "ok", f"running ({detail})")
    fix = f"`tether rm {found.name}` removes it"
    return Finding("sandbox", "missing", f"{found.state} ({detail})", fix)


def _server(found: Listed) -> Finding:
    if found.server_pid is not None:
        return Finding("server", "ok", f"process {found.server_pid} controls it")
    if found.keep:
        return Finding("server", "ok", "none: it was kept, and waits for `attach`")
    fix = "`tether rm --orphans`, or attach to it before it ends itself"
    return Finding("server", "note", "its server process is gone", fix)


def _history(found: Listed) -> Iterator[Finding]:
    path = None if found.folder is None else found.folder / "history.sqlite3"
    if path is None or not path.exists():
        yield Finding("history", "note", "there is none here")
        return
    history = History(path)
    try:
        client = connected = ""
        for event in history.since(0):
            if isinstance(event, ClientStarted):
                client = f", client {visible(event.version)} with {visible(event.shell)}"
            elif isinstance(event, Connected):
                connected = f"{event.transport}: {visible(event.reason)}"
        length = size(path.stat().st_size)
        yield Finding("history", "ok", f"{history.last_seq} events, {length}{client}")
        if connected:
            yield Finding("transport", "ok", f"last connected by {connected}")
    finally:
        history.close()


async def _handshake(record: SandboxRecord) -> Finding:
    """Connect as an operator: both ends prove that they know the secret."""
    began = time.monotonic()
    try:
        async with (
            asyncio.timeout(HANDSHAKE_TIMEOUT_S),
            OperatorRuntime.beside(record.name) as runtime,
        ):
            took = time.monotonic() - began
            return Finding("handshake", "ok", f"{took * 1000:.0f} ms by {runtime.connection}")
    except TimeoutError:
        detail = f"the client does not answer within {HANDSHAKE_TIMEOUT_S:.0f} s"
    except (TetherError, OSError) as problem:
        detail = str(problem)
    return Finding("handshake", "missing", detail, f"`tether rm {record.name}` and start anew")
