"""Where a container is at this moment: its first process, its address, its published port.

The engine is asked, since all three change when a container is restarted. What it said of the
process is taken again while that process lives.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tether_image_builder.errors import engine_host

from ..record import process_start
from ..transports.tcp import Address
from .entry import TCP_PORT
from .in_thread import in_thread

if TYPE_CHECKING:
    import docker


class ContainerAddress:
    """Asks one engine about one container. Raises `OSError` for what there is not."""

    def __init__(self, engine: docker.DockerClient, container: str) -> None:
        self._engine = engine
        self._container = container
        self._process: tuple[int, int | None] = (0, None)

    async def process(self) -> int:
        """The pid of its first process on this machine."""
        pid, started = self._process
        if started is None or process_start(pid) != started:
            pid = int((await self._inspect())["State"]["Pid"])
            _check_process(pid, self._container)
            self._process = pid, process_start(pid)
        return pid

    async def published_here(self) -> Address:
        """Where the engine publishes the client's port, if that is this machine."""
        if not engine_host().startswith("unix://"):
            raise OSError(
                "the engine is on another machine, and publishes on the loopback there:"
                " use exec, or ssh"
            )
        return await self.published()

    async def published(self) -> Address:
        """Where the engine publishes the client's port, on its own machine."""
        ports: dict[str, Any] = (await self._inspect())["NetworkSettings"]["Ports"] or {}
        found = ports.get(f"{TCP_PORT}/tcp")
        if not found:
            text = "the engine published no port for the client, as without a network of its own"
            raise OSError(text)
        return "127.0.0.1", int(found[0]["HostPort"])

    async def own(self) -> Address:
        """The container's address in one of its networks."""
        networks = (await self._inspect())["NetworkSettings"]["Networks"].values()
        for network in networks:
            if network["IPAddress"]:
                return str(network["IPAddress"]), TCP_PORT
        raise OSError("the container has no address of its own")

    async def _inspect(self) -> dict[str, Any]:
        import docker.errors

        try:
            return await in_thread(partial(self._engine.api.inspect_container, self._container))
        except docker.errors.APIError as problem:
            raise OSError(f"the engine does not tell: {problem.explanation}") from None


def _check_process(pid: int, container: str) -> None:
    """An engine elsewhere names processes of its machine, which here are others."""
    if pid == 0:
        raise ConnectionRefusedError(111, "the container does not run")
    try:
        groups = Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        groups = ""
    if container not in groups:
        raise OSError(
            "the container's process is not to be seen here: the engine is on another machine, or"
            " its processes are hidden from this one"
        )
