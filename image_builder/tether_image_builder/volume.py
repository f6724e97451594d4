"""A runtime environment as a volume: what is mounted into an image instead of a build.

With plugins it is another volume, which has them too.

A volume cannot be renamed, nor its labels changed, so two belong to an environment. One has a name
of chance and is filled. The other, empty one is made when that is done, which the engine does at
once or not at all: its name is given by the environment, and its label says which one is filled.
A volume that nothing names so is half-filled at best, and nobody mounts it.
"""

from __future__ import annotations

import platform
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .engine import Engine
from .environment import KIND_LABEL, EnvironmentImage
from .errors import volume_not_filled
from .fingerprint import fingerprint
from .locks import cache_folder, held
from .models import BuildProgress, ProgressReport
from .names import FINGERPRINT_DIGITS
from .render import (
    CLIENT,
    ENVIRONMENT_FINGERPRINT_LABEL,
    FINGERPRINT_LABEL,
    PLUGINS,
    PLUGINS_LABEL,
    PREFIX,
)

if TYPE_CHECKING:
    from .plugins.labels import LabelledPlugin

FILLED_LABEL = "tether.volume"
FILLER_LABEL = "tether.filler"
ENVIRONMENT = "environment"
FILLER = "filler"


@dataclass(frozen=True)
class Contents:
    """What is in a volume.

    Attributes:
        name: a part of the volume's name.
        image: has the environment.
        fingerprint: over all that is in it.
        plugin_images: each has the folder of a plugin, or more than one; what plugins need comes
            before their code.
        labels: of the volume.
        said: the same for people.
    """

    name: str
    image: str
    fingerprint: str
    plugin_images: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    said: str = ""

    @classmethod
    def of(cls, environment: EnvironmentImage, plugins: Sequence[LabelledPlugin]) -> Contents:
        """An environment, with plugins or without."""
        said = f"the runtime environment {environment.name!r}"
        if not plugins:
            return cls(environment.name, environment.image, environment.fingerprint, said=said)
        parts = {plugin.image: plugin.fingerprint for plugin in plugins}
        needs = sorted({plugin.needs for plugin in plugins if plugin.needs is not None})
        labels = {
            ENVIRONMENT_FINGERPRINT_LABEL: environment.fingerprint,
            PLUGINS_LABEL: " ".join(sorted(parts)),
        }
        return cls(
            name=f"{environment.name}-plugins",
            image=environment.image,
            fingerprint=fingerprint({**parts, "environment": environment.fingerprint}),
            plugin_images=(*needs, *sorted(parts)),
            labels=labels,
            said=f"{said} and {', '.join(sorted(plugin.name for plugin in plugins))}",
        )


def ensure_volume(
    engine: Engine,
    environment: EnvironmentImage,
    report: ProgressReport,
    plugins: Sequence[LabelledPlugin] = (),
) -> str:
    """The name of a volume that holds all of an environment. Two at once fill one.

    Args:
        engine: where.
        environment: what is in it; its images are there.
        report: is told when it is filled.
        plugins: what is in it beside; their images are there.

    Raises:
        EnvironmentUnavailable: the engine could not fill it.
    """
    contents = Contents.of(environment, plugins)
    if (found := _found(engine, contents)) is not None:
        return found
    with held(f"volume-{contents.fingerprint}"):
        if (found := _found(engine, contents)) is not None:
            return found
        what = f"filling a volume with {contents.said}, once for this engine"
        report(BuildProgress("environment", what))
        return _fill(engine, contents)


def find_volume(
    engine: Engine, environment: EnvironmentImage, plugins: Sequence[LabelledPlugin] = ()
) -> str | None:
    """The environment's volume, if there is one and it was filled to its end."""
    return _found(engine, Contents.of(environment, plugins))


def _found(engine: Engine, contents: Contents) -> str | None:
    labels = _volumes(engine, contents)
    filled = labels.get(_ready_name(contents), {}).get(FILLED_LABEL)
    return filled if filled in labels else None


def _volumes(engine: Engine, contents: Contents) -> dict[str, dict[str, str]]:
    """The labels of all volumes that have, or are to have, the same in them; by name."""
    wanted = {"label": [f"{KIND_LABEL}={ENVIRONMENT}", _fingerprint_of(contents)]}
    answer: dict[str, Any] = engine.api.volumes(filters=wanted)
    return {found["Name"]: found.get("Labels") or {} for found in answer["Volumes"] or ()}


def _fingerprint_of(contents: Contents) -> str:
    return f"{FINGERPRINT_LABEL}={contents.fingerprint}"


def _name(contents: Contents, ending: str) -> str:
    digits = contents.fingerprint[:FINGERPRINT_DIGITS]
    return f"tether-env-{contents.name}-{digits}-{ending}"


def _ready_name(contents: Contents) -> str:
    return _name(contents, "ready")


def _fill(engine: Engine, contents: Contents) -> str:
    import docker.errors

    _remove_leftovers(engine, contents)
    name = _name(contents, secrets.token_hex(4))
    _create(engine, contents, name, **{FILLER_LABEL: _who()})
    try:
        _copy(engine, contents, name)
    except docker.errors.APIError as problem:
        _remove_volume(engine, name)
        reason = problem.explanation or str(problem)
        raise volume_not_filled(contents.name, reason) from None
    # Where another machine has filled one on this engine meanwhile, the engine answers with that.
    ready = _create(engine, contents, _ready_name(contents), **{FILLED_LABEL: name})
    filled = str(ready["Labels"][FILLED_LABEL])
    if filled != name:
        _remove_volume(engine, name)
    return filled


def _create(engine: Engine, contents: Contents, name: str, **labels: str) -> dict[str, Any]:
    ours = {KIND_LABEL: ENVIRONMENT, FINGERPRINT_LABEL: contents.fingerprint, **contents.labels}
    answer: dict[str, Any] = engine.api.create_volume(name, labels={**ours, **labels})
    return answer


def _copy(engine: Engine, contents: Contents, name: str) -> None:
    """Has the engine copy the environment, which it does when it makes a container.

    Nothing needs to run for that, so it works for any environment. It copies into an empty volume
    only, and two at once mix theirs: this volume is nobody else's.
    """
    api = engine.api
    labels = {
        KIND_LABEL: FILLER,
        FILLER_LABEL: _who(),
        FINGERPRINT_LABEL: contents.fingerprint,
    }
    container = api.create_container(
        contents.image,
        ["-"],
        volumes=[PREFIX],
        host_config=api.create_host_config(binds=[f"{name}:{PREFIX}"]),
        labels=labels,
    )["Id"]
    try:
        archive, _ = api.get_archive(container, CLIENT)  # fails where nothing was copied
        b"".join(archive)
        for image in contents.plugin_images:
            _copy_plugins(engine, image, container, labels)
    finally:
        api.remove_container(container, force=True)


def _copy_plugins(engine: Engine, image: str, filler: str, labels: dict[str, str]) -> None:
    """From the plugin's image through this process, a piece at a time: nothing runs for it."""
    api = engine.api
    source = api.create_container(image, ["-"], labels=labels)
    try:
        archive, _ = api.get_archive(source["Id"], PLUGINS)
        api.put_archive(filler, PREFIX, archive)
    finally:
        api.remove_container(source["Id"], force=True)


def _who() -> str:
    """All that share this lock, and nobody else who may use the engine at the same time."""
    return f"{platform.node()} {cache_folder()}"


def _remove_leftovers(engine: Engine, contents: Contents) -> None:
    """What was begun under the same lock and not ended: who holds that is alone in filling."""
    wanted = {"label": [f"{FILLER_LABEL}={_who()}", _fingerprint_of(contents)]}
    for container in engine.api.containers(all=True, filters=wanted):
        _remove_container(engine, container["Id"])
    for name, labels in _volumes(engine, contents).items():
        if labels.get(FILLER_LABEL) == _who() or name == _ready_name(contents):
            _remove_volume(engine, name)


def _remove_container(engine: Engine, container: str) -> None:
    import docker.errors

    with suppress(docker.errors.NotFound):
        engine.api.remove_container(container, force=True)


def _remove_volume(engine: Engine, name: str) -> None:
    """One that a container uses stays."""
    import docker.errors

    try:
        engine.api.remove_volume(name)
    except docker.errors.APIError as problem:
        if problem.status_code not in (404, 409):
            raise
