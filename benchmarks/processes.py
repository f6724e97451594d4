"""What the kernel says about a process: processor time, task switches, memory."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tether_runtime_client.protocol import ClientStarted
from tether_server import EventStreamRuntime

if TYPE_CHECKING:
    from docker.models.containers import Container


@dataclass(frozen=True, slots=True)
class Usage:
    """Processor time in seconds and switches of all threads, since the process began."""

    cpu_s: float
    switches: int

    def since(self, earlier: Usage) -> Usage:
        """What was used in between."""
        return Usage(self.cpu_s - earlier.cpu_s, self.switches - earlier.switches)


def usage(pid: int) -> Usage:
    """Sums over the process's threads; `schedstat` counts nanoseconds where `stat` has ticks."""
    cpu_ns = switches = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        cpu_ns += int((task / "schedstat").read_text().split()[0])
        for line in (task / "status").read_text().splitlines():
            if "ctxt_switches:" in line:
                switches += int(line.split()[1])
    return Usage(cpu_ns / 1e9, switches)


def memory(pid: int) -> dict[str, float]:
    """Resident megabytes: `Rss` counts shared pages whole, `Pss` by the process's share.

    Empty where the kernel does not show it (another user's process).
    """
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except PermissionError:
        return {}
    kilobytes = {words[0]: int(words[1]) for line in lines[1:] if (words := line.split())}
    return {name: kilobytes[f"{name}:"] * 1024 / 1e6 for name in ("Rss", "Pss")}


async def sandbox_pids(backend: str, runtime: EventStreamRuntime) -> dict[str, int]:
    """The supervisor's and the client's process ids on this machine."""
    if backend == "docker":
        supervisor = await asyncio.to_thread(_container_pid, runtime.name)
        return {"supervisor": supervisor, "client": _client_below(supervisor)}
    started = [event for event in runtime.events.since(0) if isinstance(event, ClientStarted)]
    client = started[-1].pid
    return {"supervisor": _parent(client), "client": client}


def _container_pid(name: str) -> int:
    import docker

    engine = docker.from_env()
    try:
        containers: list[Container] = engine.containers.list(
            filters={"label": f"tether.sandbox={name}"}
        )
        return int(containers[0].attrs["State"]["Pid"])
    finally:
        engine.close()


def _client_below(supervisor: int) -> int:
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    names = {int(pid): Path(f"/proc/{pid}/comm").read_text().strip() for pid in children}
    return next(pid for pid, name in names.items() if name == "tether-client")


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
