"""What the engine is asked for: the options of a sandbox's container."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tether_image_builder.errors import engine_host
from tether_runtime_client.protocol.errors import StartFailed

from ..record import process_start
from ..transports import name_of
from .base import SandboxSpec
from .entry import PREFIX, PUBLISHED, RUN, TCP_PORT, Injected, first_process

if TYPE_CHECKING:
    import docker

LABEL = "tether.sandbox"
IMAGE_LABEL = "tether.image"
THROUGH_LABEL = "tether.through"


def container_name(sandbox: str) -> str:
    """What the container of a sandbox of that name is called."""
    return f"tether-{sandbox}"


def container_options(spec: SandboxSpec, injected: Injected) -> dict[str, Any]:
    """What to ask the engine for, from what was asked of us.

    TERM stops every container: what an image names as its STOPSIGNAL is meant for its own program,
    and is sent to that where it runs beside.
    """
    entrypoint, command = first_process(spec, injected)
    published = name_of(spec.transport) in PUBLISHED
    volumes = [f"{spec.folder / 'socket'}:{PREFIX}/socket:rw", *map(_absolute, spec.mounts)]
    return {
        "stop_signal": "SIGTERM",
        **spec.resources,
        "image": injected.image,
        "entrypoint": entrypoint,
        "command": command,
        "name": container_name(spec.name),
        "labels": labels(spec, injected),
        "environment": dict(spec.env),
        "working_dir": spec.workdir,
        "user": spec.user,
        "network": spec.network,
        "volumes": volumes if injected.volume else [*volumes, RUN],
        "mounts": [_environment(injected.volume)] if injected.volume else None,
        "ports": {f"{TCP_PORT}/tcp": ("127.0.0.1", None)} if published else None,
        "stdin_open": True,
        "detach": True,  # else whoever attaches and goes would end that for good
        "auto_remove": not spec.keep,
    }


def check_mounts(engine: docker.DockerClient, mounts: Sequence[str]) -> None:
    """Raises `StartFailed` for a path that is not there: the engine would make it, as root.

    What has no leading slash or dot names a volume. An engine elsewhere has other paths.
    """
    sources = [mount.partition(":")[0] for mount in mounts]
    absent = [path for path in sources if path[:1] in ("/", ".") and not os.path.lexists(path)]
    if absent and _is_here(engine):
        raise StartFailed(
            f"there is nothing to mount at {absent[0]}",
            hint="Make it first; the engine would make an empty folder there, as root",
        )


def _absolute(mount: str) -> str:
    """The engine takes no relative path; what begins with no slash or dot names a volume."""
    source, colon, rest = mount.partition(":")
    return os.path.abspath(source) + colon + rest if source.startswith(".") else mount


def _is_here(engine: docker.DockerClient) -> bool:
    """Whether its files are on this machine: not those of one that is reached over a network,
    nor of one whose socket alone was mounted into the container that this is.
    """
    return engine_host().startswith("unix://") and os.path.isdir(engine.info()["DockerRootDir"])


def _environment(volume: str) -> docker.types.Mount:
    import docker.types

    return docker.types.Mount(PREFIX, volume, type="volume", read_only=True, no_copy=True)


def labels(spec: SandboxSpec, injected: Injected) -> dict[str, str]:
    """What tells a container of ours from others, and a leftover from one in use."""
    pid = os.getpid()
    return {
        LABEL: spec.name,
        IMAGE_LABEL: str(spec.image),
        THROUGH_LABEL: str(injected.goes_through(spec)).lower(),
        "tether.keep": str(spec.keep).lower(),
        "tether.server": f"{pid} {process_start(pid)}",
    }
