"""A container of a real engine, through the docker SDK."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tether_runtime_client.protocol.errors import SandboxNotFound, StartFailed

from ..record import SandboxRecord
from .base import Backend, Progress, Sandbox, SandboxSpec
from .container import ContainerSandbox, container_options

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
            raise ValueError("backend='docker' needs an image")
        tag = await asyncio.to_thread(_build, engine, spec.image, progress)
        progress(f"starting a container of {tag}")
        (spec.folder / "socket").mkdir()
        # Any container user may bind its socket here; the folder above lets in only this user.
        (spec.folder / "socket").chmod(0o1777)
        options = container_options(spec, tag)
        container = await _uncancelled_create(engine, options)
        sandbox = ContainerSandbox(engine, container, spec.image, spec.folder, spec.transport)
        try:
            await sandbox.start(spec.secret)
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
            container: Container = await asyncio.to_thread(
                engine.containers.get, record.handle["container"]
            )
        except docker.errors.NotFound:
            text = f"the container of sandbox {record.name!r} is gone"
            raise SandboxNotFound(text) from None
        folder = sandbox_folder(record.name)
        sandbox = ContainerSandbox(engine, container, record.image, folder, record.transport)
        await sandbox.find(record.secret)
        return sandbox

    async def close(self) -> None:
        """Close the engine's connection pool."""
        client, self._client = self._client, None
        if client is not None:
            await asyncio.to_thread(client.close)

    async def _engine(self) -> docker.DockerClient:
        if self._client is None:
            self._client = await asyncio.to_thread(connect_engine)
        return self._client


async def _uncancelled_create(engine: docker.DockerClient, options: dict[str, Any]) -> Container:
    """Create the container; a cancellation waits for it, and removes it again."""
    creating = asyncio.ensure_future(asyncio.to_thread(_create, engine, options))
    try:
        return await asyncio.shield(creating)
    except asyncio.CancelledError:
        [done] = await asyncio.gather(creating, return_exceptions=True)
        if not isinstance(done, BaseException):
            await asyncio.to_thread(done.remove, force=True, v=True)
        raise


def _create(engine: docker.DockerClient, options: dict[str, Any]) -> Container:
    import docker.errors

    try:
        return engine.containers.create(**options)
    except docker.errors.APIError as problem:
        text = f"the engine did not make the container: {problem.explanation}"
        raise StartFailed(text, hint="Look at the options given to the runtime") from None


def connect_engine() -> docker.DockerClient:
    """A client of an engine that answers; raises `EngineUnavailable`."""
    import docker
    import docker.errors
    import requests.exceptions

    from tether_image_builder.errors import engine_unavailable, root_cause

    try:
        return docker.from_env(timeout=ENGINE_TIMEOUT_S, version="auto")
    except (docker.errors.DockerException, requests.exceptions.RequestException) as problem:
        raise engine_unavailable(root_cause(problem)) from None


def _build(engine: docker.DockerClient, image: str, progress: Progress) -> str:
    from tether_image_builder import build_image

    def tell(step: Any) -> None:
        progress(str(step))

    return build_image(image, client=engine, progress=tell).tag
