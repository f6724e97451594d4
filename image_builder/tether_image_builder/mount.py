"""What has to be there for an image to run with the environment mounted, and nothing built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .choice import choose, ensured
from .engine import connected
from .locks import images_in_use
from .models import BuildOptions, Image, PluginLayer, ProgressReport, ignore_progress
from .plan import check_architecture, find_image, make_plan
from .volume import ensure_volume
from .with_plugins import asked_plugins, labelled, layers_of, made_plugins, plugin_recipes

if TYPE_CHECKING:
    import docker


@dataclass(frozen=True)
class MountResult:
    """An image as it is, and what to mount into it.

    Attributes:
        image_id: the engine's id of the image (`sha256:...`).
        volume: holds the runtime environment; to be mounted read-only at `/opt/tether`.
        environment: the kind of runtime environment in it (`portable`).
        environment_image: an image that holds the same, but for the plugins.
        entrypoint: the image's ENTRYPOINT, None if none.
        command: the image's CMD, None if none.
        plugins: those that the volume has, by name.
    """

    image_id: str
    volume: str
    environment: str
    environment_image: str
    entrypoint: tuple[str, ...] | None
    command: tuple[str, ...] | None
    plugins: tuple[PluginLayer, ...] = ()


def prepare_mount(
    image: str,
    *,
    client: docker.DockerClient | None = None,
    env: str = "auto",
    plugins: Sequence[str] = (),
    plugin_packages: Sequence[str] = (),
    progress: ProgressReport | None = None,
) -> MountResult:
    """Makes sure that there are an image and a volume with a runtime environment for it.

    The image stays as it is. Calling it twice, also at the same time, fills one volume. It blocks;
    from a coroutine call it in a thread.

    Args:
        image: a name, a digest reference or an id. It is pulled if it is not there.
        client: the engine; without it the one that the process environment names.
        env: the runtime environment, `auto` for the best one that can be had.
        plugins: names of installed plugins to put beside the client.
        plugin_packages: more of them: pip requirements, and paths of source folders and wheels.
        progress: is told about each step, in the thread of the call.

    Raises:
        EngineUnavailable: no engine answers.
        ImageNotFound: the image is neither here nor can it be pulled.
        WrongArchitecture: there is no environment for what the image runs on.
        EnvironmentUnavailable: the environment is not there, or cannot be put into a volume.
        PluginInvalid: a plugin is not there, is none, or does not go with another one.
        BuildFailed: what a plugin needs could not be installed.
        ValueError: `env` is none that there can be.
    """
    report = progress or ignore_progress
    wanted = asked_plugins(None, plugins, plugin_packages)
    with images_in_use(), connected(client) as engine:
        found: Image = find_image(engine, image, None, report)
        options = BuildOptions(env=env)
        plan = make_plan(image, found, options, choose(engine, image, found, options))
        check_architecture(engine, plan)
        recipe = plan.recipe
        if engine.find(recipe.described.image) is None:  # else there is nothing to say of it
            recipe = ensured(engine, plan.choice, report)
        environment = recipe.described
        made = made_plugins(engine, plugin_recipes(wanted, recipe), report, options)
        volume = ensure_volume(engine, environment, report, labelled(made))
    return MountResult(
        image_id=found.image_id,
        volume=volume,
        environment=environment.name,
        environment_image=environment.image,
        entrypoint=plan.command[0],
        command=plan.command[1],
        plugins=layers_of(made),
    )
