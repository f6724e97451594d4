"""One container that holds a sandbox."""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tether_runtime_client.protocol.errors import (
    ProtocolError,
    SandboxGone,
    SandboxNotFound,
    StartFailed,
    TransportUnavailable,
)
from tether_runtime_client.protocol.event import Event

from ..link import Ended
from ..record import load_record
from ..transports import (
    DialTransport,
    ExecTransport,
    Forwarding,
    NetnsTransport,
    Ssh,
    SshTransport,
    Tcp,
    TcpTransport,
    Tls,
    Transport,
    TransportSettings,
    UnixTransport,
    choose,
    name_of,
)
from .base import Sandbox, not_come_up
from .completion import secret_line
from .container_address import ContainerAddress
from .container_options import THROUGH_LABEL
from .container_removal import remove_container
from .entry import (
    CLIENT,
    LISTENS_ON,
    MORE_MEMORY,
    OTHER_WAYS,
    PREFIX,
    SOCKET,
    STATE,
    TCP_PORT,
    not_run_through,
    refused,
)
from .handover import Handover, own
from .in_thread import in_thread
from .sandbox_end import (
    container_ended,
    removed_container_ended,
    restarted_container_ended,
)

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container

    from ..sidecars.keeper import Sidecars
    from ..sidecars.plan import SidecarPlan

STOP_TIMEOUT_S = 10
REMOVED_TIMEOUT_S = 60
"""How long an engine that has begun to remove a container may take for it; busy ones take long."""

RESTART_S = 4.0
"""How long a stopped container is given to turn out to be restarting."""

log = logging.getLogger(__name__)


class ContainerSandbox(Sandbox):
    """Starts, reaches and removes its container."""

    backend = "docker"

    def __init__(
        self,
        engine: docker.DockerClient,
        container: Container,
        image: str | None,
        folder: Path,
        transport: TransportSettings,
        dial: DialTransport | None = None,
    ) -> None:
        self.image = image
        self.transport = transport
        self._engine = engine
        self._container = container
        self._folder = folder
        self._secret = ""
        self._started_at = ""
        self._exited_at: float | None = None
        self._life_is_new = True
        self._transports = tuple(self._set_up(transport, dial))
        labels = container.attrs["Config"]["Labels"] or {}
        self._through = labels.get(THROUGH_LABEL) == "true"
        self._handover = Handover(engine, container, through=self._through)
        self._log = self._handover.log
        self._mounted = any(m["Destination"] == PREFIX for m in container.attrs["Mounts"])
        self._sidecars: Sidecars | None = None

    @property
    def handle(self) -> dict[str, str]:
        """The container's id."""
        return {"container": str(self._container.id)}

    def give_sidecars(self, plans: Sequence[SidecarPlan]) -> None:
        """Those that it is to have, before it is started; or has, where it was found."""
        if plans:
            from ..sidecars.keeper import Sidecars

            self._sidecars = Sidecars(
                self._engine, self._folder.name, str(self._container.id), plans
            )

    @property
    def sidecars(self) -> tuple[SidecarPlan, ...]:
        """What runs in containers of its own beside it."""
        return self._sidecars.plans if self._sidecars is not None else ()

    def controlled(self, tell: Callable[[Event], None], still: Callable[[], bool]) -> None:
        """Sidecars are watched, and brought back, by whoever controls the sandbox."""
        if self._sidecars is not None:
            self._sidecars.serve(tell, still)
            self._sidecars.begin(anew=self._life_is_new)

    async def start(self, secret: str) -> None:
        """Start the container and give its client the secret on standard input.

        Attached before the start, so that no line it writes is lost, even if it ends at once.
        """
        import docker.errors

        self._secret = secret
        stream = await self._handover.attach()
        try:
            await in_thread(self._container.start)
        except docker.errors.APIError as problem:
            stream.close()
            raise refused(str(problem.explanation), mounted=self._mounted) from None
        except BaseException:
            stream.close()
            raise
        await self._handover.give(stream, secret)
        if self._sidecars is not None:
            self._sidecars.begin(anew=True)  # they come up while the client does
        self._started_at = await self._read_started_at()

    async def find(self, secret: str) -> None:
        """It runs already, or was restarted while no server was there, and waits for its secret.

        Raises `SandboxGone` where it does not run.
        """
        self._secret = secret
        self._started_at = await self._read_started_at()
        self._check_runs()
        if await self._handover.was_given() or await self._answers():
            self._life_is_new = False  # a server was there already
            self._log.tell_waiting()
            self._log.tell_ready()
        else:
            await self._handover.give_late(secret)

    def transports(self) -> Sequence[Transport]:
        """The UNIX socket where its folder is really shared, TCP where asked for, and exec."""
        return self._transports

    async def ready(self) -> None:
        """Wait for the client's ready line; raises `OSError` when the container ends before it.

        Where it was started here its sidecars have to listen, too: raises `StartFailed`.
        """
        await self._log.listening.wait()
        if self._log.ended and (end := await self._end()):
            raise OSError(end.reason)
        if self._sidecars is not None and self._sidecars.begun:
            await self._sidecars.up()

    async def ended(self) -> Ended | None:
        """Ask the engine. A restarted container gets its secret again."""
        import docker.errors

        try:
            await in_thread(self._container.reload)
        except docker.errors.NotFound:
            of = (self._engine, str(self._container.id), self._started_at)
            return await in_thread(partial(removed_container_ended, *of))
        state = self._container.attrs["State"]
        if state["Status"] in ("exited", "dead", "removing"):
            return await self._ended_unless_restarting(state)
        self._exited_at = None
        if state["Running"] and state["StartedAt"] != self._started_at:
            return await self._restarted(state["StartedAt"])
        return None

    async def _restarted(self, started_at: str) -> Ended:
        """It runs again, and needs its secret; how its life before ended."""
        before = self._started_at
        await self._handover.give_late(self._present_secret())
        self._started_at = started_at
        if self._sidecars is not None and self._sidecars.begun:
            self._sidecars.begin(anew=True)
        of = (self._engine, str(self._container.id), before)
        return await in_thread(partial(restarted_container_ended, *of))

    async def _ended_unless_restarting(self, state: dict[str, Any]) -> Ended | None:
        """A restart looks like an end for a moment; one that is removed is gone at once."""
        now = time.monotonic()
        self._exited_at = self._exited_at or now
        if now - self._exited_at < RESTART_S:
            return None
        container = str(self._container.id)
        ended = await in_thread(partial(container_ended, self._engine, container, state))
        return replace(ended, stage="down") if self._can_return(state) else ended

    def _can_return(self, state: dict[str, Any]) -> bool:
        """Whether somebody may start it again: the engine removes those that were not kept."""
        return state["Status"] == "exited" and not self._container.attrs["HostConfig"]["AutoRemove"]

    def log_tail(self) -> str:
        """What supervisor and client wrote last."""
        return self._log.tail()

    async def start_failed(self, reason: str) -> StartFailed:
        """As for any sandbox; an entrypoint that never ran the client is told as that."""
        wrote = self._log.tail().strip()
        ended = await self._end()
        if ended is not None:
            code = "" if ended.exit_code is None else f" (exit code {ended.exit_code})"
            reason = f"{ended.reason}{code}"
        if ended is not None and ended.cause == "out_of_memory":
            return not_come_up(reason, wrote, MORE_MEMORY)
        if not self._through:
            return not_come_up(reason, wrote)
        if self._log.has_waited:
            return not_come_up(reason, wrote, OTHER_WAYS)
        entrypoint = self._container.attrs["Config"]["Entrypoint"] or []
        return not_run_through(entrypoint, reason, wrote, mounted=self._mounted)

    def when_expired(self, name: str) -> str:
        """A container that starts is handed its secret anew."""
        again = f"`docker restart {self._container.name}` hands it its secret anew: attach then"
        return f"{again}. Or remove it (`tether rm {name}`)"

    async def stop(self) -> None:
        """Stop the container in good order, remove it and its volume."""
        await self.release()
        await in_thread(self._remove)
        if self._sidecars is not None:
            await in_thread(self._sidecars.remove)

    async def release(self) -> None:
        """Let go of the attached stream, and of what transports hold."""
        for transport in self._transports:
            await transport.close()
        if self._sidecars is not None:
            await self._sidecars.let_go()
        await self._handover.let_go()

    # --- inside

    def _set_up(
        self, settings: TransportSettings, dial: DialTransport | None
    ) -> Iterator[Transport]:
        """In order of preference. Only a client that was told to listens on TCP."""
        asked = name_of(settings)
        address = ContainerAddress(self._engine, str(self._container.id))
        yield UnixTransport(self._folder / "socket" / "client.sock")
        identity = settings.identity if isinstance(settings, Tcp) else None
        tls = Tls(identity.authority) if identity else None
        netns = NetnsTransport(address.process, TCP_PORT, tls)
        if asked in LISTENS_ON:
            yield netns
        if asked == "tcp":
            own = TcpTransport(address.own, tls=tls)
            behind = Forwarding(own, netns, address.process)
            yield TcpTransport(address.published_here, behind, tls)
        if isinstance(settings, Ssh):
            yield SshTransport(settings, address.published)
        if dial is not None:
            yield dial
        yield ExecTransport(self._open_exec, f"container {self._container.short_id}")

    def _present_secret(self) -> str:
        """It may have been changed since this sandbox was found, by any process of this machine."""
        with contextlib.suppress(SandboxNotFound):
            record = load_record(self._folder.name)
            self._secret = secret_line(record.secret, record.transport)
        return self._secret

    def _check_runs(self) -> None:
        state, name = self._container.attrs["State"], self._container.name
        if state["Paused"]:
            text, command = "its container is paused", "unpause"
        elif not state["Running"]:
            text, command = f"its container ended with exit code {state['ExitCode']}", "start"
        else:
            return
        hint = f"`docker {command} {name}`, then attach; `tether rm` removes it"
        raise SandboxGone(f"the sandbox does not run: {text}", hint=hint)

    async def _answers(self) -> bool:
        """Whether its client does, on a way that every sandbox has; a refusal is an answer too."""
        ways = [way for way in self._transports if way.name in ("unix", "exec")]
        try:
            await choose("auto", ways, self._secret.partition(" ")[0])
        except TransportUnavailable:
            return False
        except ProtocolError:
            return True
        return True

    async def _end(self) -> Ended | None:
        """How the container ended, or None while it runs; one that is to restart has ended."""
        import docker.errors

        of = (self._engine, str(self._container.id))
        try:
            await in_thread(self._container.reload)
        except docker.errors.NotFound:
            since = self._started_at or self._container.attrs["Created"]
            return await in_thread(partial(removed_container_ended, *of, since))
        state = self._container.attrs["State"]
        return None if state["Running"] else await in_thread(partial(container_ended, *of, state))

    async def _read_started_at(self) -> str:
        import docker.errors

        try:
            await in_thread(self._container.reload)
        except docker.errors.NotFound:
            return ""
        return str(self._container.attrs["State"]["StartedAt"])

    def _open_exec(self) -> socket.socket:
        import docker.errors

        api = self._engine.api
        try:
            made = api.exec_create(self._container.id, [CLIENT, "connect", SOCKET], stdin=True)
            return own(api.exec_start(made["Id"], socket=True))
        except docker.errors.APIError as problem:
            raise OSError(f"the engine refused an exec: {problem.explanation}") from None

    def _stop(self) -> None:
        """A supervisor behind an entrypoint gets no signal, so it is told from inside.

        Where the client never came up behind it, there is nothing to end in good order, and such
        an entrypoint may be deaf to a stop signal too.
        """
        import docker.errors

        if self._through and not self._log.was_ready:
            return
        with contextlib.suppress(docker.errors.NotFound):
            if self._through:
                self._stop_inside()
            self._container.stop(timeout=STOP_TIMEOUT_S)

    def _stop_inside(self) -> None:
        import docker.errors

        api = self._engine.api
        command = [CLIENT, "stop", f"{STATE}/supervisor"]
        try:
            made = api.exec_create(self._container.id, command)
            api.exec_start(made["Id"])
        except docker.errors.APIError as problem:  # it has just ended by itself, mostly
            log.info("the supervisor was not told to stop: %s", problem.explanation)

    def _remove(self) -> None:
        self._stop()
        remove_container(self._engine, str(self._container.id), REMOVED_TIMEOUT_S)
