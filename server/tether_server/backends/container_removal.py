"""The end of a container, whoever ends it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import docker


def remove_container(engine: docker.DockerClient, container: str, timeout_s: int) -> None:
    """End it, and wait until it is gone: so long, where the engine has begun. Twice is safe."""
    import docker.errors

    try:
        engine.api.remove_container(container, v=True, force=True)
    except docker.errors.NotFound:
        return
    except docker.errors.APIError as problem:
        if problem.status_code != 409:  # the engine is removing it at this moment
            raise
        with contextlib.suppress(docker.errors.NotFound):
            engine.api.wait(container, timeout=timeout_s, condition="removed")
