"""A container of a real engine, through the docker SDK."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from tether_runtime_client.protocol.errors import SandboxNotFound, StartFailed

from ..record import SandboxRecord
from .base import Backend, Progress, Sandbox, SandboxSpec
from .completion import complete, dialled, listen, secret_line
from .container import ContainerSandbox
from .container_options import check_mounts, container_options, labels
from .entry import RUN, Injected, about_option, inject
from .in_thread import in_thread, long_in_thread
from .with_sidecars import planned

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container

ENGINE_TIMEOUT_S = 120


class DockerBackend(Backend):
    """Uses the engine the environment names (`DOCKER_HOST`, …), else the local one."""

    name = "docker"

    def __init__(self) -> None:
        self._client: docker.DockerClient | None = None

    async def start(self, spec: SandboxSpec, progress: Progress) -> Sandbox:
        """Put the client into the image unless it is there, then start a container of it."""
        engine = await self._engine()
        if spec.image is None:
            raise ValueError("there is no image: name one, or choose backend='local'")
        await in_thread(partial(check_mounts, engine, spec.mounts))
        spec, dial = await in_thread(partial(complete, engine, spec))
        injected = await long_in_thread(partial(inject, engine, spec, progress), engine.close)
        if spec.entrypoint == "beside" and not (injected.entrypoint or injected.command):
            progress(f"{spec.image} has no ENTRYPOINT and no CMD: nothing runs beside the client")
        progress(f"starting a container of {spec.image if injected.volume else injected.image}")
        (spec.folder / "socket").mkdir()
        # Any container user may bind its socket here; the folder above lets in only this user.
        (spec.folder / "socket").chmod(0o1777)
        if dial is not None:
            spec = listen(spec, dial)
        try:
            spec, plans = await in_thread(partial(planned, engine, spec, injected))
            container = await in_thread(
                partial(_create, engine, spec, injected),
                lambda made: made.remove(force=True, v=True),
            )
        except BaseException:
            if dial is not None:
                await dial.close()
            raise
        sandbox = ContainerSandbox(engine, container, spec.image, spec.folder, spec.transport, dial)
        sandbox.plugins = injected.versions
        sandbox.give_sidecars(plans)
        try:
            await sandbox.start(secret_line(spec.secret, spec.transport))
        except BaseException:
            await sandbox.stop()
            raise
        return sandbox

    async def attach(self, record: SandboxRecord) -> Sandbox:
        """Find the container by its id."""
        import docker.errors

        from ..record import sandbox_folder

        engine = await self._engine()
        try:
            container: Container = await in_thread(
                partial(engine.containers.get, record.handle["container"])
            )
        except docker.errors.NotFound:
            text = f"the container of sandbox {record.name!r} is gone"
            raise SandboxNotFound(text) from None
        folder = sandbox_folder(record.name)
        dial = dialled(record.secret, record.transport)
        sandbox = ContainerSandbox(engine, container, record.image, folder, record.transport, dial)
        sandbox.give_sidecars(record.sidecars)
        await sandbox.find(secret_line(record.secret, record.transport))
        return sandbox

    async def close(self) -> None:
        """Close the engine's connection pool."""
        client, self._client = self._client, None
        if client is not None:
            await in_thread(client.close)

    async def _engine(self) -> docker.DockerClient:
        if self._client is None:
            self._client = await in_thread(connect_engine, lambda client: client.close())
        return self._client


def _create(engine: docker.DockerClient, spec: SandboxSpec, injected: Injected) -> Container:
    import docker.errors

    options = container_options(spec, injected)
    try:
        if injected.environment_image is None:
            return engine.containers.create(**options)
        with _run_folder(engine, injected.environment_image, labels(spec, injected)) as holder:
            return engine.containers.create(**options, volumes_from=[holder])
    except docker.errors.APIError as problem:
        text = f"the engine did not make the container: {problem.explanation}"
        raise StartFailed(text, hint=about_option(str(problem.explanation))) from None
    except (docker.errors.DockerException, TypeError, ValueError) as problem:
        text = f"the engine cannot be asked for this: {problem}"
        raise StartFailed(text, hint=about_option(text)) from None


@contextmanager
def _run_folder(engine: docker.DockerClient, image: str, labels: dict[str, str]) -> Iterator[str]:
    """A container that only holds the volume for the client's run folder, and is never started.

    The engine gives a new volume the mode that its place has in the image, and any user may write
    in the environment's. The user's image has no such place.
    """
    api = engine.api
    holder = api.create_container(image, ["-"], volumes=[RUN], labels=labels)["Id"]
    try:
        yield holder
    finally:
        # Its volume stays while another container has it, and goes with that one.
        api.remove_container(holder, v=True, force=True)


def connect_engine() -> docker.DockerClient:
    """A client of an engine that answers; raises `EngineUnavailable`."""
    import docker
    import docker.errors

    from tether_image_builder.engine import probe
    from tether_image_builder.errors import engine_host, engine_unavailable

    try:
        probe(engine_host())
        return docker.from_env(timeout=ENGINE_TIMEOUT_S, version="auto")
    except (docker.errors.DockerException, OSError) as problem:  # those of requests are OSErrors
        raise engine_unavailable(problem) from None
