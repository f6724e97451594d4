"""`docker exec` by Docker's SDK, in a container of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from .base import Call, Peer
from .marker import BASH, QUIET, Marked

if TYPE_CHECKING:
    from docker.models.containers import Container


@contextmanager
def docker_exec_peers(image: str) -> Iterator[list[Peer]]:
    """A kept shell without a terminal and with one, and a command at a time."""
    with running_container(image) as container:
        yield [
            _kept_peer(container, terminal=False),
            _kept_peer(container, terminal=True),
            _once(container),
        ]


@contextmanager
def running_container(image: str, *, mounts: Sequence[str] = ()) -> Iterator[Container]:
    """A container that waits, with bind mounts as `host:container`."""
    import docker

    engine = docker.from_env(max_pool_size=64)
    try:
        container = engine.containers.run(
            image,
            ["sleep", "infinity"],
            detach=True,
            init=True,
            auto_remove=True,
            volumes=list(mounts),
        )
        try:
            yield container
        finally:
            container.remove(force=True)
    finally:
        engine.close()


def _kept_peer(container: Container, *, terminal: bool) -> Peer:
    return Peer(
        "docker exec, kept shell, terminal" if terminal else "docker exec, kept shell",
        "a shell, marked",
        opens_call=partial(_kept, container, terminal),
        place="docker",
        has_terminal=terminal,
    )


def _once(container: Container) -> Peer:
    @asynccontextmanager
    async def open_call() -> AsyncIterator[Call]:
        yield partial(_run_once, container)

    name = "docker exec, one a command"
    return Peer(name, "nothing", opens_call=open_call, place="docker", block=1, each=2)


def _run_once(container: Container, command: str) -> int:
    code, output = container.exec_run(["bash", "-c", command])
    if code:
        raise RuntimeError(f"the command ended with {code}")
    return len(output)


@asynccontextmanager
async def _kept(container: Container, terminal: bool) -> AsyncIterator[Call]:
    from docker.utils.socket import frames_iter

    api = container.client.api  # type: ignore[union-attr]
    command = [*BASH, "--noediting"]
    made = api.exec_create(container.id, command, stdin=True, tty=terminal)
    stream = api.exec_start(made["Id"], tty=terminal, socket=True)
    run = partial(_run, stream, frames_iter(stream, terminal), Marked())
    if terminal:
        run(QUIET)
    try:
        yield run
    finally:
        stream._response.close()  # in this order; the SDK leaves both to the garbage collector
        stream.close()


def _run(stream: Any, frames: Iterator[tuple[int, bytes]], marked: Marked, command: str) -> int:
    stream._sock.sendall(marked.line(command))
    while (size := marked.feed(next(frames)[1])) is None:
        continue
    return size
