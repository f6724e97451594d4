"""A runtime environment as a volume: what is mounted into an image instead of a build.

A volume cannot be renamed, nor its labels changed, so two belong to an environment. One has a name
of chance and is filled. The other, empty one is made when that is done, which the engine does at
once or not at all: its name is given by the environment, and its label says which one is filled.
A volume that nothing names so is half-filled at best, and nobody mounts it.
"""

from __future__ import annotations

import platform
import secrets
from contextlib import suppress
from typing import Any

from .engine import Engine
from .environment import KIND_LABEL, EnvironmentImage
from .errors import volume_not_filled
from .locks import cache_folder, held
from .models import BuildProgress, ProgressReport
from .names import FINGERPRINT_DIGITS
from .render import CLIENT, FINGERPRINT_LABEL, PREFIX

FILLED_LABEL = "tether.volume"
FILLER_LABEL = "tether.filler"
ENVIRONMENT = "environment"
FILLER = "filler"


def ensure_volume(engine: Engine, environment: EnvironmentImage, report: ProgressReport) -> str:
    """The name of a volume that holds all of an environment. Two at once fill one.

    Raises:
        EnvironmentUnavailable: the engine could not fill it.
    """
    if (found := find_volume(engine, environment)) is not None:
        return found
    with held(f"volume-{environment.fingerprint}"):
        if (found := find_volume(engine, environment)) is not None:
            return found
        what = f"the runtime environment {environment.name!r}"
        report(BuildProgress("environment", f"filling a volume with {what}, once for this engine"))
        return _fill(engine, environment)


def find_volume(engine: Engine, environment: EnvironmentImage) -> str | None:
    """The environment's volume, if there is one and it was filled to its end."""
    labels = _volumes(engine, environment)
    filled = labels.get(_ready_name(environment), {}).get(FILLED_LABEL)
    return filled if filled in labels else None


def _volumes(engine: Engine, environment: EnvironmentImage) -> dict[str, dict[str, str]]:
    """The labels of all volumes of an environment, by name."""
    wanted = {"label": [f"{KIND_LABEL}={ENVIRONMENT}", _fingerprint_of(environment)]}
    answer: dict[str, Any] = engine.api.volumes(filters=wanted)
    return {found["Name"]: found.get("Labels") or {} for found in answer["Volumes"] or ()}


def _fingerprint_of(environment: EnvironmentImage) -> str:
    return f"{FINGERPRINT_LABEL}={environment.fingerprint}"


def _name(environment: EnvironmentImage, ending: str) -> str:
    digits = environment.fingerprint[:FINGERPRINT_DIGITS]
    return f"tether-env-{environment.name}-{digits}-{ending}"


def _ready_name(environment: EnvironmentImage) -> str:
    return _name(environment, "ready")


def _fill(engine: Engine, environment: EnvironmentImage) -> str:
    import docker.errors

    _remove_leftovers(engine, environment)
    name = _name(environment, secrets.token_hex(4))
    _create(engine, environment, name, **{FILLER_LABEL: _who()})
    try:
        _copy(engine, environment, name)
    except docker.errors.APIError as problem:
        _remove_volume(engine, name)
        reason = problem.explanation or str(problem)
        raise volume_not_filled(environment.name, reason) from None
    # Where another machine has filled one on this engine meanwhile, the engine answers with that.
    ready = _create(engine, environment, _ready_name(environment), **{FILLED_LABEL: name})
    filled = str(ready["Labels"][FILLED_LABEL])
    if filled != name:
        _remove_volume(engine, name)
    return filled


def _create(
    engine: Engine, environment: EnvironmentImage, name: str, **labels: str
) -> dict[str, Any]:
    ours = {KIND_LABEL: ENVIRONMENT, FINGERPRINT_LABEL: environment.fingerprint}
    answer: dict[str, Any] = engine.api.create_volume(name, labels={**ours, **labels})
    return answer


def _copy(engine: Engine, environment: EnvironmentImage, name: str) -> None:
    """Has the engine copy the environment, which it does when it makes a container.

    Nothing needs to run for that, so it works for any environment. It copies into an empty volume
    only, and two at once mix theirs: this volume is nobody else's.
    """
    api = engine.api
    container = api.create_container(
        environment.image,
        ["-"],
        volumes=[PREFIX],
        host_config=api.create_host_config(binds=[f"{name}:{PREFIX}"]),
        labels={
            KIND_LABEL: FILLER,
            FILLER_LABEL: _who(),
            FINGERPRINT_LABEL: environment.fingerprint,
        },
    )["Id"]
    try:
        archive, _ = api.get_archive(container, CLIENT)  # fails where nothing was copied
        b"".join(archive)
    finally:
        api.remove_container(container, force=True)


def _who() -> str:
    """All that share this lock, and nobody else who may use the engine at the same time."""
    return f"{platform.node()} {cache_folder()}"


def _remove_leftovers(engine: Engine, environment: EnvironmentImage) -> None:
    """What was begun under the same lock and not ended: who holds that is alone in filling."""
    wanted = {"label": [f"{FILLER_LABEL}={_who()}", _fingerprint_of(environment)]}
    for container in engine.api.containers(all=True, filters=wanted):
        _remove_container(engine, container["Id"])
    for name, labels in _volumes(engine, environment).items():
        if labels.get(FILLER_LABEL) == _who() or name == _ready_name(environment):
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
