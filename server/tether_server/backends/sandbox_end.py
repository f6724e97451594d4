"""How a sandbox came to its end, from the exit code of its main process and the engine's word."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from tether_runtime_client.protocol.events import SandboxStopCause

from ..link import Ended

if TYPE_CHECKING:
    import docker

_SIGTERM, _SIGKILL = 15, 9
_BY_CODE: dict[int, SandboxStopCause] = {
    0: "stopped",
    128 + _SIGTERM: "stopped",  # asked to, and what ran had to be killed for it
    70: "failed",  # the client died too often
    75: "lease_expired",
    78: "failed",  # its settings cannot work
}
_WORDS: dict[SandboxStopCause, str] = {
    "stopped": "it was stopped",
    "lease_expired": "no server was connected for the length of its lease",
    "failed": "its runtime client could not go on",
    "out_of_memory": "the kernel killed it because memory had run out",
    "killed": "a signal ended it",
}
_CLOSE_S = 2.0
"""The engine hears of a want of memory and of the end that came of it within so many seconds."""


def ended_with(what: str, exit_code: int | None, *, memory_ran_out: bool = False) -> Ended:
    """The end of `what` with an exit code as shells have it."""
    cause = _cause(exit_code, memory_ran_out)
    because = f": {_WORDS[cause]}" if cause in _WORDS else ""
    return Ended(f"{what} ended{because}", exit_code, cause)


def _cause(exit_code: int | None, memory_ran_out: bool) -> SandboxStopCause:
    if exit_code is None:
        return "unknown"
    if memory_ran_out:
        return "out_of_memory"
    return _BY_CODE.get(exit_code, "killed" if exit_code > 128 else "failed")


def container_ended(engine: docker.DockerClient, container: str, state: dict[str, Any]) -> Ended:
    """The end of a container, of which the engine says this."""
    code = int(state["ExitCode"])
    ran_out = bool(state.get("OOMKilled")) and _ran_out_at_the_end(engine, container, state)
    return ended_with("the container", code, memory_ran_out=ran_out)


def _ran_out_at_the_end(engine: docker.DockerClient, container: str, state: dict[str, Any]) -> bool:
    """The engine's flag stays up when any process was ever killed, and its container lived on."""
    end = moment(state["FinishedAt"])
    asked = {"container": container, "event": "oom"}
    around = {"since": int(end - _CLOSE_S), "until": int(end + _CLOSE_S)}
    return any(True for _ in engine.events(**around, filters=asked, decode=True))


def moment(text: str) -> float:
    """Seconds since 1970; the engine writes nanoseconds, Python reads microseconds."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{fraction or 0}")
