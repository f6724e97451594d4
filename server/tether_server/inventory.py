"""All sandboxes of this user on this machine: what is recorded, what runs, what was left behind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from tether_runtime_client.protocol.errors import EngineUnavailable

from .backends.container_options import IMAGE_LABEL, LABEL
from .record import SandboxRecord, process_start, state_folder
from .sidecars.plan import CONTAINER_LABEL, OF_LABEL

State = Literal["starting", "running", "paused", "stopped", "gone", "unknown", "ended"]
"""`gone`: recorded, and not there any more. `unknown`: its engine does not answer. `ended`: its
history is all that is left, and expires by itself."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One sandbox, or what is left of one.

    `server_pid` is the living process that controls it, if there is one. `container` is an
    engine's id, `folder` where its files are on this machine.
    """

    name: str
    backend: str
    image: str | None
    state: State
    created: float
    keep: bool = False
    server_pid: int | None = None
    container: str | None = None
    record: SandboxRecord | None = None
    folder: Path | None = None

    @property
    def orphan(self) -> bool:
        """It lives on though its server died, and nobody asked for that."""
        lives_on = self.state in ("running", "paused", "stopped")
        return lives_on and self.server_pid is None and not self.keep

    @property
    def leftover(self) -> bool:
        """Nobody needs it: an orphan, or the record of a sandbox that is gone with its server."""
        return self.orphan or (self.state == "gone" and self.server_pid is None)


@dataclass(frozen=True, slots=True)
class Inventory:
    """The sandboxes, oldest first; `problem` when the engine could not be asked."""

    sandboxes: tuple[Listed, ...]
    problem: EngineUnavailable | None = None


def take_inventory(*, ask_engine: bool = True) -> Inventory:
    """Look at the state folder, the processes and, unless told not to, the engine."""
    containers, problem = _containers() if ask_engine else (None, None)
    folders = (state_folder() / "sandboxes").glob("*")
    listed = [_from_folder(folder, containers) for folder in folders if folder.is_dir()]
    known = {found.container for found in listed}
    listed += [_from_container(c) for key, c in (containers or {}).items() if key not in known]
    return Inventory(tuple(sorted(listed, key=lambda found: found.created)), problem)


def _containers() -> tuple[dict[str, dict[str, Any]] | None, EngineUnavailable | None]:
    """Containers that were started for sandboxes, by id; None when there is no engine."""
    import docker.errors
    import requests.exceptions

    from .backends.docker import connect_engine

    try:
        engine = connect_engine()
    except EngineUnavailable as problem:
        return None, problem
    try:
        found = engine.api.containers(all=True, filters={"label": LABEL})
        beside = engine.api.containers(all=True, filters={"label": CONTAINER_LABEL})
    except (docker.errors.DockerException, requests.exceptions.RequestException) as problem:
        return None, EngineUnavailable(f"the engine does not list its containers: {problem}")
    finally:
        engine.close()
    there = {container["Id"]: container for container in found}
    # Those that were made and never started outlive their sandboxes.
    left = [each for each in beside if each["Labels"][CONTAINER_LABEL] not in there]
    return {**there, **{each["Id"]: each for each in left}}, None


def _from_folder(folder: Path, containers: dict[str, dict[str, Any]] | None) -> Listed:
    try:
        record = SandboxRecord.model_validate_json((folder / "sandbox.json").read_bytes())
    except (FileNotFoundError, ValidationError):
        return _unrecorded_folder(folder)
    container = record.handle.get("container", "")
    if record.backend == "local":
        state = _process_state(record)
    else:
        state = "unknown" if containers is None else _container_state(containers.get(container))
    return Listed(
        name=record.name,
        backend=record.backend,
        image=record.image,
        state=state,
        created=record.created,
        keep=record.keep,
        server_pid=_alive(record.server_pid, record.server_start),
        container=container or None,
        record=record,
        folder=folder,
    )


def _unrecorded_folder(folder: Path) -> Listed:
    """A sandbox that is being started, one whose start died, or the history of one that ended."""
    claim = _numbers(folder / "claim")
    starter = _alive(*claim)
    state: State = "ended" if claim[0] is None else "starting" if starter else "gone"
    return Listed(
        name=folder.name,
        backend="",
        image=None,
        state=state,
        created=folder.stat().st_mtime,
        server_pid=starter,
        folder=folder,
    )


def _from_container(container: dict[str, Any]) -> Listed:
    """A container without a record: of another state folder, or its record was deleted."""
    labels: dict[str, str] = container.get("Labels") or {}
    return Listed(
        name=labels.get(LABEL) or labels.get(OF_LABEL, ""),
        backend="docker",
        image=labels.get(IMAGE_LABEL) or container.get("Image"),
        state=_container_state(container),
        created=float(container.get("Created") or time.time()),
        keep=labels.get("tether.keep") == "true",
        server_pid=_alive(*_parse(labels.get("tether.server", ""))),
        container=container["Id"],
    )


def _process_state(record: SandboxRecord) -> State:
    alive = _alive(int(record.handle["pid"]), int(record.handle["start"]))
    return "running" if alive else "gone"


def _alive(pid: int | None, started: int | None) -> int | None:
    """The pid, if that process still runs; one that has ended and was not reaped does not."""
    if pid is None or process_start(pid) != started:
        return None
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in "ZX" else pid


def _container_state(container: dict[str, Any] | None) -> State:
    if container is None:
        return "gone"
    match container.get("State"):
        case "running" | "restarting":
            return "running"
        case "paused":
            return "paused"
    return "stopped"


def _numbers(path: Path) -> tuple[int | None, int | None]:
    try:
        return _parse(path.read_text())
    except FileNotFoundError:
        return None, None


def _parse(text: str) -> tuple[int | None, int | None]:
    """A pid and its start time."""
    words: Iterator[str] = iter(text.split())
    pid, started = next(words, ""), next(words, "")
    if not (pid.isdecimal() and started.isdecimal()):
        return None, None
    return int(pid), int(started)
