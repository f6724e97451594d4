"""What the engine is asked for: the options of a sandbox's container."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ..record import process_start
from .base import SandboxSpec
from .entry import PREFIX, RUN, TCP_PORT, Injected, first_process

if TYPE_CHECKING:
    import docker

LABEL = "tether.sandbox"
IMAGE_LABEL = "tether.image"
THROUGH_LABEL = "tether.through"


def container_options(spec: SandboxSpec, injected: Injected) -> dict[str, Any]:
    """What to ask the engine for, from what was asked of us.

    TERM stops every container: what an image names as its STOPSIGNAL is meant for its own program,
    and is sent to that where it runs beside.
    """
    entrypoint, command = first_process(spec, injected)
    volumes = [f"{spec.folder / 'socket'}:{PREFIX}/socket:rw", *spec.mounts]
    return {
        "stop_signal": "SIGTERM",
        **spec.resources,
        "image": injected.image,
        "entrypoint": entrypoint,
        "command": command,
        "name": f"tether-{spec.name}",
        "labels": labels(spec, injected),
        "environment": dict(spec.env),
        "working_dir": spec.workdir,
        "user": spec.user,
        "network": spec.network,
        "volumes": volumes if injected.volume else [*volumes, RUN],
        "mounts": [_environment(injected.volume)] if injected.volume else None,
        "ports": {f"{TCP_PORT}/tcp": ("127.0.0.1", None)} if spec.transport == "tcp" else None,
        "stdin_open": True,
        "auto_remove": not spec.keep,
    }


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
