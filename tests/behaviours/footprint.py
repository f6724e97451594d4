"""What a process holds: memory and descriptors, as the kernel counts them on this machine."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from tether_runtime_client.protocol.events import ClientStarted
from tether_server import EventStreamRuntime


@dataclass(frozen=True)
class Footprint:
    """Bytes resident now and at the most so far, and the number of open descriptors."""

    resident: int
    peak: int
    descriptors: int


def footprint(pid: int) -> Footprint:
    """A process's; reading another user's, or a client's, takes root."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    kilobytes = {line.split()[0]: int(line.split()[1]) for line in lines if line.endswith(" kB")}
    open_now = len(os.listdir(f"/proc/{pid}/fd"))
    return Footprint(kilobytes["VmRSS:"] * 1024, kilobytes["VmHWM:"] * 1024, open_now)


def forget_peak(pid: int) -> None:
    """Count the peak from now on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


async def client_pid(runtime: EventStreamRuntime, place: str) -> int:
    """The runtime client's process id on this machine."""
    started = [event for event in runtime.events.since(0) if isinstance(event, ClientStarted)]
    inside = started[-1].pid
    return (
        inside
        if place == "local"
        else await asyncio.to_thread(pid_on_this_machine, runtime.name, inside)
    )


def pid_on_this_machine(name: str, inside: int) -> int:
    """The child of the container's first process that has this id inside."""
    import docker

    engine = docker.from_env()
    try:
        [container] = engine.containers.list(filters={"label": f"tether.sandbox={name}"})
        first = int(container.attrs["State"]["Pid"])
    finally:
        engine.close()
    children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
    return next(int(child) for child in children if _ids(int(child))[-1] == inside)


def _ids(pid: int) -> list[int]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return [int(word) for line in lines if line.startswith("NSpid:") for word in line.split()[1:]]
