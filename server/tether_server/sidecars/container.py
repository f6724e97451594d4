"""One life of a sidecar's container: from its start, or from being found, to its end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from functools import partial
from typing import TYPE_CHECKING

from tether_runtime_client.protocol.errors import StartFailed

from ..backends.client_log import ClientLog
from ..backends.container_removal import remove_container
from ..backends.handover import own
from ..backends.in_thread import in_thread
from ..backends.sandbox_end import removed_container_ended
from ..link import Ended
from ..transports.engine_stream import Demultiplexer
from .plan import CONTAINER_LABEL, OF_LABEL, SidecarPlan, sidecar_name, sidecar_options

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container

COMES_UP_S = 30.0
"""How long its program may take until it says that it listens."""

REMOVED_S = 10
WRITES_PER_S = 256 * 1024
"""Bytes of output; whoever writes more waits."""

_READ = 64 * 1024


class SidecarContainer:
    """Made by `find` or `start`; `ended` is awaited once."""

    def __init__(
        self, engine: docker.DockerClient, container: Container, plan: SidecarPlan
    ) -> None:
        self._engine = engine
        self._container = container
        self._plan = plan
        self._log = ClientLog(plan.ready.encode())
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    async def find(
        cls, engine: docker.DockerClient, plan: SidecarPlan, sandbox: str, of: str
    ) -> SidecarContainer | None:
        """The one that runs already for the sandbox whose container has the id `of`."""
        container = await in_thread(partial(_find, engine, sidecar_name(sandbox, plan.plugin), of))
        if container is None:
            return None
        found = cls(engine, container, plan)
        await found._listen()
        return found

    @classmethod
    async def start(
        cls, engine: docker.DockerClient, plan: SidecarPlan, sandbox: str, of: str
    ) -> SidecarContainer:
        """A new one, which listens. Raises `StartFailed`, with nothing left."""
        container = await in_thread(
            lambda: _create(engine, plan, sandbox, of), lambda made: _remove(engine, made)
        )
        new = cls(engine, container, plan)
        try:
            await new._listen()
            await in_thread(partial(_start, container))
            async with asyncio.timeout(COMES_UP_S):
                await new._log.listening.wait()
            if not new._log.was_ready:
                raise new._not_come_up("its program ended")
        except TimeoutError:
            await new.remove()
            raise new._not_come_up(f"it did not listen within {COMES_UP_S:g} s") from None
        except BaseException:
            await new.remove()
            raise
        return new

    @property
    def id(self) -> str:
        """The engine's, which no other life has."""
        return str(self._container.id)

    async def ended(self) -> Ended:
        """Wait for its end; how it came to it."""
        assert self._reading is not None
        await asyncio.shield(self._reading)
        return await in_thread(self._end)

    async def let_go(self) -> None:
        """Listen to it no more. Twice is safe."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def remove(self) -> None:
        """End it. Twice is safe."""
        await self.let_go()
        await in_thread(partial(_remove, self._engine, self._container))

    # --- inside

    async def _listen(self) -> None:
        """Before it is started, so that nothing it writes is missed."""
        stream = await in_thread(self._attach, socket.socket.close)
        self._reading = asyncio.create_task(self._read(stream))
        self._reading.add_done_callback(lambda _: stream.close())

    def _attach(self) -> socket.socket:
        params = {"stdout": 1, "stderr": 1, "stream": 1}
        return own(self._engine.api.attach_socket(str(self._container.id), params=params))

    async def _read(self, stream: socket.socket) -> None:
        """No faster than it may write: what runs there may be anybody's."""
        pieces = Demultiplexer(lambda _, piece: self._log.write(bytes(piece)))
        loop = asyncio.get_running_loop()
        try:
            with contextlib.suppress(ConnectionError):
                while data := await loop.sock_recv(stream, _READ):
                    pieces.feed(data)
                    await asyncio.sleep(len(data) / WRITES_PER_S)
        finally:
            self._log.end()

    def _end(self) -> Ended:
        """The engine removes it by itself, and remembers how it ended."""
        import docker.errors

        container = str(self._container.id)
        try:
            self._container.reload()
            started = str(self._container.attrs["State"]["StartedAt"])
            self._container.wait(condition="removed", timeout=REMOVED_S)
        except docker.errors.NotFound:
            started = str(self._container.attrs["State"]["StartedAt"])
        return removed_container_ended(self._engine, container, started)

    def _not_come_up(self, reason: str) -> StartFailed:
        wrote = self._log.tail().strip()
        said = f"; the last of what it wrote:\n{wrote}\n" if wrote else "; it wrote nothing"
        return StartFailed(
            f"the sidecar of the plugin {self._plan.plugin!r} did not come up: {reason}{said}",
            hint=f"Its port in the sandbox is {self._plan.port}: where another program has that,"
            " start the sandbox anew, which takes another port",
            log=wrote,
        )


def remove_all(engine: docker.DockerClient, of: str) -> None:
    """Those of the sandbox whose container has the id `of`, wherever they are in their lives."""
    label = f"{CONTAINER_LABEL}={of}"
    for found in engine.api.containers(all=True, filters={"label": label}):
        remove_container(engine, found["Id"], REMOVED_S)


def _remove(engine: docker.DockerClient, container: Container) -> None:
    remove_container(engine, str(container.id), REMOVED_S)


def _find(engine: docker.DockerClient, name: str, of: str) -> Container | None:
    """What has its name and is not it is of a sandbox that is gone, or was never started."""
    import docker.errors

    try:
        found = engine.containers.get(name)
    except docker.errors.NotFound:
        return None
    if found.status == "running" and found.labels.get(CONTAINER_LABEL) == of:
        return found
    if OF_LABEL in found.labels:
        _remove(engine, found)
    return None


def _create(engine: docker.DockerClient, plan: SidecarPlan, sandbox: str, of: str) -> Container:
    import docker.errors

    from ..backends.entry import about_option

    try:
        return engine.containers.create(**sidecar_options(plan, sandbox, of))
    except docker.errors.ImageNotFound:
        raise StartFailed(
            f"the image of the plugin {plan.plugin!r}, {plan.image}, is not there any more",
            hint="`runtime-build IMAGE --plugins NAME` makes it; without it there is no sidecar",
        ) from None
    except (docker.errors.DockerException, TypeError, ValueError) as problem:
        if getattr(problem, "status_code", None) == 409:
            raise OSError("another server makes it at this moment") from None
        text = f"the engine did not make the sidecar of {plan.plugin!r}: {problem}"
        raise StartFailed(text, hint=about_option(str(problem))) from None


def _start(container: Container) -> None:
    import docker.errors

    try:
        container.start()
    except docker.errors.APIError as problem:
        text = f"a sidecar did not start: {problem.explanation}"
        raise StartFailed(text, hint="Look at the resources given to it") from None
