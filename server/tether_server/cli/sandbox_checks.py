"""One sandbox, from its record to a real handshake."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from tether_runtime_client.protocol.errors import (
    SandboxGone,
    SecretExpired,
    TetherError,
    TransportUnavailable,
)
from tether_runtime_client.protocol.events import ClientStarted, Connected

from ..backends.container_options import container_name
from ..history import History
from ..inventory import Listed, take_inventory
from ..operator import OperatorRuntime
from ..record import SandboxRecord
from ..transports import Attempt, name_of
from .findings import Finding, Status
from .text import age, size, visible

HANDSHAKE_TIMEOUT_S = 15.0
TRANSPORT_TIMEOUT_S = 1.5
_WAKES = {"paused": "unpause", "stopped": "start"}


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
        yield from asyncio.run(_handshake(found.record))


def _state(found: Listed) -> Finding:
    since = age(time.time() - found.created)
    detail = f"{found.backend or 'unknown backend'}, {found.image or 'no image'}, since {since}"
    if found.folder is None:
        detail += "; no record here: of another TETHER_STATE_DIR, or its record was deleted"
    if found.state == "running":
        return Finding("sandbox", "ok", f"running ({detail})")
    fix = f"`tether rm {found.name}` removes it"
    if found.state in _WAKES:
        fix = (
            f"`docker {_WAKES[found.state]} {container_name(found.name)}` and it goes on, or {fix}"
        )
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


async def _handshake(record: SandboxRecord) -> list[Finding]:
    """Connect as an operator: both ends prove that they know the secret. Then try every way."""
    began = time.monotonic()
    try:
        async with (
            asyncio.timeout(HANDSHAKE_TIMEOUT_S),
            OperatorRuntime.beside(record.name) as runtime,
        ):
            took = time.monotonic() - began
            good = Finding("handshake", "ok", f"{took * 1000:.0f} ms by {runtime.connection}")
            tried = await runtime.try_transports(TRANSPORT_TIMEOUT_S)
            return [good, *(_way(record, *each) for each in tried)]
    except (SandboxGone, SecretExpired) as problem:  # it is known what helps
        return [Finding("handshake", "missing", problem.message, problem.hint)]
    except TimeoutError:
        detail = f"the client does not answer within {HANDSHAKE_TIMEOUT_S:.0f} s"
    except TransportUnavailable as problem:
        detail = problem.message
    except (TetherError, OSError) as problem:
        detail = str(problem)
    fix = f"`tether rm {record.name}` and start anew"
    return [Finding("handshake", "missing", detail, fix)]


def _way(record: SandboxRecord, attempt: Attempt, cause: str) -> Finding:
    """One transport. Only the one that the server was told to use has to work."""
    transport, problem = attempt.transport, attempt.problem
    name, where = f"by {transport.name}", transport.describe()
    if problem is None:
        return Finding(name, "ok", f"{where}: answers in {attempt.took_s * 1000:.0f} ms")
    needed = transport.name == name_of(record.transport) and problem.kind != "busy"
    status: Status = "missing" if needed else "note"
    return Finding(name, status, f"{where}: {problem}", cause)
