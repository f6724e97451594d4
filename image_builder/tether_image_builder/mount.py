"""What has to be there for an image to run with the environment mounted, and nothing built."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .choice import choose, ensured
from .engine import connected
from .locks import images_in_use
from .models import BuildOptions, Image, ProgressReport, ignore_progress
from .plan import check_architecture, find_image, make_plan
from .volume import ensure_volume

if TYPE_CHECKING:
    import docker


@dataclass(frozen=True)
class MountResult:
    """An image as it is, and what to mount into it.

    Attributes:
        image_id: the engine's id of the image (`sha256:...`).
        volume: holds the runtime environment; to be mounted read-only at `/opt/tether`.
        environment: the kind of runtime environment in it (`portable`).
        environment_image: an image that holds the same.
        entrypoint: the image's ENTRYPOINT, None if none.
        command: the image's CMD, None if none.
    """

    image_id: str
    volume: str
    environment: str
    environment_image: str
    entrypoint: tuple[str, ...] | None
    command: tuple[str, ...] | None


def prepare_mount(
    image: str,
    *,
    client: docker.DockerClient | None = None,
    env: str = "auto",
    progress: ProgressReport | None = None,
) -> MountResult:
    """Makes sure that there are an image and a volume with a runtime environment for it.

    The image stays as it is. Calling it twice, also at the same time, fills one volume. It blocks;
    from a coroutine call it in a thread.

    Args:
        image: a name, a digest reference or an id. It is pulled if it is not there.
        client: the engine; without it the one that the process environment names.
        env: the runtime environment, `auto` for the best one that can be had.
        progress: is told about each step, in the thread of the call.

    Raises:
        EngineUnavailable: no engine answers.
        ImageNotFound: the image is neither here nor can it be pulled.
        WrongArchitecture: there is no environment for what the image runs on.
        EnvironmentUnavailable: the environment is not there, or cannot be put into a volume.
        ValueError: `env` is none that there can be.
    """
    report = progress or ignore_progress
    with images_in_use(), connected(client) as engine:
        found: Image = find_image(engine, image, None, report)
        options = BuildOptions(env=env)
        plan = make_plan(image, found, options, choose(engine, image, found, options))
        check_architecture(engine, plan)
        environment = plan.recipe.described
        if engine.find(environment.image) is None:  # else there is nothing to say of it
            environment = ensured(engine, plan.choice, report).described
        volume = ensure_volume(engine, environment, report)
    return MountResult(
        image_id=found.image_id,
        volume=volume,
        environment=environment.name,
        environment_image=environment.image,
        entrypoint=plan.command[0],
        command=plan.command[1],
    )
