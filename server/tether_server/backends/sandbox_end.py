"""How a sandbox came to its end, from the exit code of its main process and the engine's word."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tether_runtime_client.protocol.events import SandboxStopCause

from ..link import Ended

if TYPE_CHECKING:
    import docker

_STOPPED, _GAVE_UP, _TERMINATED, _KILLED = 0, 70, 143, 137
_BY_CODE: dict[int, SandboxStopCause] = {
    _STOPPED: "stopped",
    _TERMINATED: "stopped",  # asked to, and what ran had to be killed for it
    _GAVE_UP: "failed",  # the client died too often
    75: "lease_expired",
    78: "failed",  # its settings cannot work
}
_WORDS: dict[SandboxStopCause, str] = {
    "stopped": "it was stopped",
    "lease_expired": "no server was connected for the length of its lease",
    "failed": "its runtime client could not go on",
    "out_of_memory": "memory had run out, and the kernel killed its processes",
    "killed": "a signal ended it",
}
_BECAUSE_S = {_KILLED: 2.0, _GAVE_UP: 60.0}
"""How long before an end with this code the engine heard of the want of memory it came of."""


def ended_with(what: str, exit_code: int | None, *, memory_ran_out: bool = False) -> Ended:
    """The end of `what` with an exit code as shells have it."""
    return _ended_by(what, exit_code, _cause(exit_code, memory_ran_out))


def _ended_by(what: str, exit_code: int | None, cause: SandboxStopCause) -> Ended:
    because = f": {_WORDS[cause]}" if cause in _WORDS else ""
    return Ended(f"{what} ended{because}", exit_code, cause)


def _cause(exit_code: int | None, memory_ran_out: bool) -> SandboxStopCause:
    if exit_code is None:
        return "unknown"
    if memory_ran_out:
        return "out_of_memory"
    return _BY_CODE.get(exit_code, "killed" if exit_code > 128 else "failed")


@dataclass(frozen=True, slots=True)
class _Happened:
    """What the engine remembers of a container."""

    what: str
    at: float
    exit_code: int | None


def container_ended(engine: docker.DockerClient, container: str, state: dict[str, Any]) -> Ended:
    """The end of a container, of which the engine says this.

    Its flag of a want of memory stays up when any process was ever killed for one, and the
    container lived on. So the engine is asked when that was; and, where a signal ended it, whether
    that was to stop it, because it did not end when it was asked to.
    """
    code = int(state["ExitCode"])
    if not state.get("OOMKilled") and code != _KILLED:
        return ended_with("the container", code)
    end = moment(state["FinishedAt"])
    return _ended(code, end, _remembered(engine, container, end - max(_BECAUSE_S.values())))


def removed_container_ended(engine: docker.DockerClient, container: str, started: str) -> Ended:
    """The end of a container that is no more, as far as the engine remembers."""
    known = _last_end(engine, container, started)
    if known is None:
        return Ended("the container was removed", cause="removed")
    return replace(known, reason=f"{known.reason}; then the container was removed")


def restarted_container_ended(engine: docker.DockerClient, container: str, started: str) -> Ended:
    """The end of the life that began at `started`, of a container that runs again."""
    known = _last_end(engine, container, started) or Ended("the container was restarted")
    return replace(known, stage="restarted")


def _last_end(engine: docker.DockerClient, container: str, started: str) -> Ended | None:
    happened = _remembered(engine, container, moment(started)) if started else []
    return _last(happened)


def last_end_of(engine: docker.DockerClient, labels: list[str], since: float) -> Ended | None:
    """How the last container with these labels ended that ended later than that, if one did."""
    return _last(_happened(engine, {"label": labels}, since))


def _last(happened: list[_Happened]) -> Ended | None:
    for last in reversed(happened):
        if last.what == "die" and last.exit_code is not None:
            return _ended(last.exit_code, last.at, happened)
    return None


def _ended(code: int, end: float, happened: list[_Happened]) -> Ended:
    since = end - _BECAUSE_S.get(code, 0.0)
    ran_out = code in _BECAUSE_S and any(x.what == "oom" and x.at >= since for x in happened)
    stopped = any(x.what == "stop" and x.at >= end for x in happened)  # told when it has ended
    if code == _KILLED and stopped and not ran_out:
        return _ended_by("the container", code, "stopped")
    return ended_with("the container", code, memory_ran_out=ran_out)


def _remembered(engine: docker.DockerClient, container: str, since: float) -> list[_Happened]:
    return _happened(engine, {"container": container}, since)


def _happened(engine: docker.DockerClient, to: dict[str, Any], since: float) -> list[_Happened]:
    """In order. An engine keeps the last few hundred events of all its containers."""
    kinds = {**to, "event": ["oom", "die", "stop"]}
    # To the nanosecond, which the SDK's types do not know of: the end has just been.
    period: dict[str, Any] = {"since": f"{since:.9f}", "until": f"{time.time():.9f}"}
    return list(_read(engine.events(**period, filters=kinds, decode=True)))


def _read(events: Iterator[dict[str, Any]]) -> Iterator[_Happened]:
    for event in events:
        code = event["Actor"]["Attributes"].get("exitCode", "")
        at = event["timeNano"] / 1e9
        yield _Happened(event["Action"], at, int(code) if code.isdigit() else None)


def moment(text: str) -> float:
    """Seconds since 1970; the engine writes nanoseconds, Python reads microseconds."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{fraction or 0}")
