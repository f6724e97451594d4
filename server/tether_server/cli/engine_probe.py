"""Whether a container engine answers, and if not, why: for people who have to mend it."""

from __future__ import annotations

import http.client
import json
import os
import socket
import stat
from pathlib import Path
from typing import Any

from tether_image_builder.errors import DEFAULT_HOST, MAY_NOT_USE, engine_host

from .findings import Finding

TIMEOUT_S = 5.0


def probe_engine() -> tuple[Finding, dict[str, Any]]:
    """What was found, and what the engine says of itself (empty when it says nothing)."""
    host = engine_host()
    if not host.startswith("unix://"):
        return _probe_by_sdk(host)
    path = Path(host.removeprefix("unix://"))
    problem = _socket_problem(path)
    if problem is not None:
        return problem, {}
    try:
        version, info = _ask(path, "/version"), _ask(path, "/info")
    except PermissionError:
        return Finding("engine", "missing", f"you may not use {path}", MAY_NOT_USE), {}
    except ConnectionRefusedError:
        detail = f"{path} is left over: nothing listens there"
        return Finding("engine", "missing", detail, starting_help()), {}
    except TimeoutError:
        detail = f"the engine at {path} does not answer within {TIMEOUT_S:.0f} s"
        return Finding("engine", "missing", detail, "Restart it; `docker/engine logs`"), {}
    except (OSError, ValueError, http.client.HTTPException) as error:
        detail = f"what listens at {path} is no container engine: {error}"
        return Finding("engine", "missing", detail, starting_help()), {}
    return Finding("engine", "ok", f"{_described(version)} at {host}"), {**version, **info}


def starting_help() -> str:
    """How an engine is started here."""
    if os.environ.get("DOCKER_HOST", DEFAULT_HOST) != DEFAULT_HOST:
        return "Start that engine, or unset DOCKER_HOST to use one on this machine"
    helper = _helper()
    if helper is not None and os.geteuid() == 0:
        return f"`{helper} start` installs it where it is missing, and starts it"
    if helper is not None:
        return f"`sudo {helper} start`, or run without one: --local, backend='local'"
    return "Install and start Docker, or run without one: --local, backend='local'"


def _helper() -> Path | None:
    """The script of a source checkout, where this is one."""
    script = Path(__file__).resolve().parents[3] / "docker" / "engine"
    return script if os.access(script, os.X_OK) else None


def _socket_problem(path: Path) -> Finding | None:
    try:
        mode = path.stat().st_mode
    except PermissionError:
        return Finding("engine", "missing", f"you may not use {path}", MAY_NOT_USE)
    except OSError:
        return Finding("engine", "missing", f"there is no socket {path}", starting_help())
    if not stat.S_ISSOCK(mode):
        return Finding("engine", "missing", f"{path} is not a socket", starting_help())
    return None


def _ask(path: Path, resource: str) -> dict[str, Any]:
    connection = _UnixConnection(path)
    try:
        connection.request("GET", resource)
        answer = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    if not isinstance(answer, dict):
        raise ValueError(f"{resource} is answered with a {type(answer).__name__}")
    return answer


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a UNIX socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        """Connect; raises `OSError`."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(str(self._path))


def _probe_by_sdk(host: str) -> tuple[Finding, dict[str, Any]]:
    from tether_runtime_client.protocol.errors import EngineUnavailable

    from ..backends.docker import connect_engine

    try:
        engine = connect_engine()
    except EngineUnavailable as problem:
        return Finding("engine", "missing", problem.message, starting_help()), {}
    try:
        version, info = engine.version(), engine.info()
    finally:
        engine.close()
    return Finding("engine", "ok", f"{_described(version)} at {host}"), {**version, **info}


def _described(version: dict[str, Any]) -> str:
    system = f"{version.get('Os', '?')}/{version.get('Arch', '?')}"
    return f"version {version.get('Version', '?')}, API {version.get('ApiVersion', '?')}, {system}"
