"""One container that holds a sandbox."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tether_runtime_client.protocol.errors import StartFailed, TransportUnavailable

from ..link import Ended
from ..record import process_start
from ..transports import ExecTransport, TcpTransport, Transport, UnixTransport
from ..transports.engine_stream import raw_socket, read_pieces
from .base import Sandbox, SandboxSpec
from .client_log import ClientLog

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container

PREFIX = "/opt/tether"
SOCKET = f"{PREFIX}/socket/client.sock"
RUN = f"{PREFIX}/run"
CLIENT = f"{PREFIX}/bin/tether-runtime-client"
TCP_PORT = 5000
STOP_TIMEOUT_S = 10
RESTART_S = 4.0
"""How long a stopped container is given to turn out to be restarting."""

LABEL = "tether.sandbox"


class ContainerSandbox(Sandbox):
    """Starts, reaches and removes its container."""

    backend = "docker"

    def __init__(
        self,
        engine: docker.DockerClient,
        container: Container,
        image: str | None,
        folder: Path,
        transport: str,
    ) -> None:
        self.image = image
        self._engine = engine
        self._container = container
        self._folder = folder
        self._transport = transport
        self._secret = ""
        self._started_at = ""
        self._exited_at: float | None = None
        self._log = ClientLog()
        self._reading: asyncio.Task[None] | None = None

    @property
    def handle(self) -> dict[str, str]:
        """The container's id."""
        return {"container": str(self._container.id)}

    async def start(self, secret: str) -> None:
        """Start the container and give its client the secret on standard input.

        Attached before the start, so that no line it writes is lost, even if it ends at once.
        """
        import docker.errors

        self._secret = secret
        stream = await asyncio.to_thread(self._attach)
        try:
            await asyncio.to_thread(self._container.start)
        except docker.errors.APIError as problem:
            stream.close()
            raise StartFailed(f"the container did not start: {problem.explanation}") from None
        await self._hand_over(stream)

    async def find(self, secret: str) -> None:
        """It runs already, or was restarted and waits for its secret."""
        self._secret = secret
        self._started_at = await self._read_started_at()
        self._log.listening.set()

    async def choose_transport(self) -> tuple[Transport, str]:
        """As asked; `auto` takes the UNIX socket where its folder is really shared, else exec."""
        unix = UnixTransport(self._folder / "socket" / "client.sock")
        by_exec = ExecTransport(self._open_exec, f"container {self._container.short_id}")
        match self._transport:
            case "unix":
                return unix, "asked for"
            case "exec":
                return by_exec, "asked for"
            case "tcp":
                return await self._tcp(), "asked for"
            case "auto" if self._shares_folder():
                return unix, "the client's socket is in the folder shared with the container"
            case "auto":
                return by_exec, "the engine does not share its folders with this machine"
        raise TransportUnavailable(
            f"there is no transport {self._transport!r}", hint="Use auto, unix, tcp or exec"
        )

    async def ready(self) -> None:
        """Wait for the client's ready line, or for the end of what it writes."""
        await self._log.listening.wait()

    async def ended(self) -> Ended | None:
        """Ask the engine. A restarted container gets its secret again."""
        import docker.errors

        try:
            await asyncio.to_thread(self._container.reload)
        except docker.errors.NotFound:
            return Ended("the container was removed")
        state = self._container.attrs["State"]
        if state["Status"] in ("exited", "dead", "removing"):
            return self._ended_unless_restarting(state)
        self._exited_at = None
        if state["Running"] and state["StartedAt"] != self._started_at:
            await self._hand_over(await asyncio.to_thread(self._attach))
        return None

    def _ended_unless_restarting(self, state: dict[str, Any]) -> Ended | None:
        """A restart looks like an end for a moment; one that is removed is gone at once."""
        now = time.monotonic()
        self._exited_at = self._exited_at or now
        if now - self._exited_at < RESTART_S:
            return None
        oom = ", out of memory" if state.get("OOMKilled") else ""
        return Ended(f"the container ended{oom}", state["ExitCode"])

    def log_tail(self) -> str:
        """What supervisor and client wrote last."""
        return self._log.tail()

    async def stop(self) -> None:
        """Stop the container in good order, remove it and its volume."""
        await self.release()
        await asyncio.to_thread(self._remove)

    async def release(self) -> None:
        """Let go of the attached stream."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
            self._reading = None

    # --- inside

    def _shares_folder(self) -> bool:
        return os.path.lexists(self._folder / "socket" / "client.sock")

    def _attach(self) -> socket.socket:
        params = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        return _own(self._engine.api.attach_socket(str(self._container.id), params=params))

    async def _hand_over(self, stream: socket.socket) -> None:
        await self.release()
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(stream, self._secret.encode() + b"\n")
        self._reading = asyncio.create_task(self._read_log(stream))
        self._started_at = await self._read_started_at()

    async def _read_log(self, stream: socket.socket) -> None:
        try:
            with contextlib.suppress(ConnectionError):
                await read_pieces(stream, lambda _, piece: self._log.write(bytes(piece)))
        finally:
            self._log.end()
            stream.close()

    async def _read_started_at(self) -> str:
        import docker.errors

        try:
            await asyncio.to_thread(self._container.reload)
        except docker.errors.NotFound:
            return ""
        return str(self._container.attrs["State"]["StartedAt"])

    async def _tcp(self) -> Transport:
        await asyncio.to_thread(self._container.reload)
        ports: dict[str, Any] = self._container.attrs["NetworkSettings"]["Ports"] or {}
        published = ports.get(f"{TCP_PORT}/tcp")
        if not published:
            raise TransportUnavailable("the engine published no port for the client")
        return TcpTransport("127.0.0.1", int(published[0]["HostPort"]))

    def _open_exec(self) -> socket.socket:
        import docker.errors

        api = self._engine.api
        try:
            made = api.exec_create(self._container.id, [CLIENT, "connect", SOCKET], stdin=True)
            return _own(api.exec_start(made["Id"], socket=True))
        except docker.errors.APIError as problem:
            raise OSError(f"the engine refused an exec: {problem.explanation}") from None

    def _remove(self) -> None:
        import docker.errors

        with contextlib.suppress(docker.errors.NotFound):
            self._container.stop(timeout=STOP_TIMEOUT_S)
        try:
            self._container.remove(v=True, force=True)
        except docker.errors.NotFound:
            return
        except docker.errors.APIError as problem:
            if problem.status_code != 409:  # the engine is removing it at this moment
                raise
            with contextlib.suppress(docker.errors.NotFound):
                self._container.wait(condition="removed", timeout=STOP_TIMEOUT_S)


def container_options(spec: SandboxSpec, tag: str) -> dict[str, Any]:
    """What to ask the engine for, from what was asked of us."""
    tcp = spec.transport == "tcp"
    volumes = [f"{spec.folder / 'socket'}:{PREFIX}/socket:rw", *spec.mounts]
    return {
        **spec.resources,
        "image": tag,
        "entrypoint": [CLIENT, "supervise"],
        "command": _client_command(spec, tcp=tcp),
        "name": f"tether-{spec.name}",
        "labels": _labels(spec),
        "environment": dict(spec.env),
        "working_dir": spec.workdir,
        "user": spec.user,
        "network": spec.network,
        "volumes": [*volumes, RUN],
        "ports": {f"{TCP_PORT}/tcp": ("127.0.0.1", None)} if tcp else None,
        "stdin_open": True,
        "auto_remove": not spec.keep,
    }


def _client_command(spec: SandboxSpec, *, tcp: bool) -> list[str]:
    lease = [] if spec.lease_s is None else ["--lease", str(spec.lease_s)]
    listen = ["--tcp", f"0.0.0.0:{TCP_PORT}"] if tcp else []
    bash = ["--bundled-bash", f"{PREFIX}/bin/bash"]
    registry = ["--registry", f"{RUN}/state/sessions"]
    return [*registry, "--", "--unix", SOCKET, "--run-dir", RUN, *listen, *lease, *bash]


def _labels(spec: SandboxSpec) -> dict[str, str]:
    pid = os.getpid()
    return {
        LABEL: spec.name,
        "tether.keep": str(spec.keep).lower(),
        "tether.server": f"{pid} {process_start(pid)}",
    }


def _own(hijacked: Any) -> socket.socket:
    """A socket of our own for a hijacked connection; the SDK's, and its response, are closed."""
    theirs = raw_socket(hijacked)
    ours = theirs.dup()
    ours.setblocking(False)
    # The response goes first: it flushes the file that the socket's wrapper is.
    getattr(hijacked, "_response", hijacked).close()
    theirs.close()
    return ours
