"""What can go wrong when an image is built: classes of the project's one tree of errors.

TetherError
└── SandboxError
    ├── EngineUnavailable        no container engine answers
    ├── ImageNotFound            neither on this machine nor in a registry that can be reached
    ├── WrongArchitecture        the image is made for another kind of machine
    ├── EnvironmentUnavailable   the runtime environment can neither be found nor built
    ├── BuildFailed              the engine gave up on a build
    │   └── StepFailed           a step of a spec did not come to its end
    ├── PluginInvalid            a plugin cannot be brought, or does not go with the others
    ├── PushFailed               a registry did not take the image
    └── SpecInvalid              a spec of build steps cannot be used

Each has a stable `code`, a `message`, a `hint` that says what to do, and `data`. The functions
here word them; a name that no image can have is a plain `ValueError`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from tether_runtime_client.protocol.errors import (
    BuildFailed,
    EngineUnavailable,
    EnvironmentUnavailable,
    ImageNotFound,
    PluginInvalid,
    PushFailed,
    SpecInvalid,
    StepFailed,
    TetherError,
    WrongArchitecture,
)

__all__ = [
    "BuildFailed",
    "EngineUnavailable",
    "EnvironmentUnavailable",
    "ImageNotFound",
    "PluginInvalid",
    "PushFailed",
    "SpecInvalid",
    "StepFailed",
    "TagOfTheBase",
    "TetherError",
    "WrongArchitecture",
    "build_failed",
    "engine_failed",
    "engine_host",
    "engine_unavailable",
    "environment_unavailable",
    "environment_unfit",
    "image_not_found",
    "invalid_tag",
    "not_named",
    "plugin_failed",
    "plugin_invalid",
    "push_failed",
    "root_cause",
    "stage_unavailable",
    "volume_not_filled",
    "wrong_architecture",
    "wrong_variant",
]

DEFAULT_HOST = "unix:///var/run/docker.sock"
MAY_NOT_USE = "Run as root, or `sudo usermod -aG docker $USER` and log in again"
_NO_LAYER_LEFT = "max depth exceeded"


def root_cause(problem: BaseException) -> str:
    """The innermost reason of an error: the outer ones are libraries wrapping it."""
    problem = _innermost(problem)
    return str(problem) or type(problem).__name__


def _innermost(problem: BaseException) -> BaseException:
    while (cause := problem.__cause__ or problem.__context__) is not None:
        problem = cause
    return problem


_NO_ENGINE = "Start it (in a source checkout: `docker/engine start`), or name one with DOCKER_HOST"
_THAT_ENGINE = "Start that engine, or unset DOCKER_HOST to use one on this machine"


def engine_host() -> str:
    """The address that the engine is looked for at."""
    return os.environ.get("DOCKER_HOST") or DEFAULT_HOST


def engine_unavailable(problem: BaseException) -> EngineUnavailable:
    """No engine answers, or it is not this user's to ask."""
    cause, host = _innermost(problem), engine_host()
    if isinstance(cause, PermissionError):
        return EngineUnavailable(
            f"you may not use the container engine at {host}: {cause.strerror}", hint=MAY_NOT_USE
        )
    return EngineUnavailable(
        f"no container engine answers at {host}: {root_cause(cause)}",
        hint=_THAT_ENGINE if host != DEFAULT_HOST else _NO_ENGINE,
    )


def engine_failed(reason: str) -> EngineUnavailable:
    """It answers, and cannot do what it should."""
    return EngineUnavailable(
        f"the container engine failed: {reason}",
        hint="Its own log says more; `docker system df` shows what room it has",
    )


def image_not_found(
    image: str, pull_error: str, *, wanted: str | None = None, here: str | None = None
) -> ImageNotFound:
    """Neither here nor to be pulled.

    Args:
        image: its name.
        pull_error: why not.
        wanted: the platform that was asked for, where one was.
        here: the platform that it is here for, where it is.
    """
    there = "is not on this machine" if here is None else f"is here for {here} only"
    pulling = "pulling it" if wanted is None else f"pulling it for {wanted}"
    return ImageNotFound(
        f"the image {image!r} {there}, and {pulling} failed: {pull_error}",
        hint="Check its name (`docker images` lists those that are here), or bring it in with"
        " `docker load`",
        image=image,
        pull_error=pull_error,
    )


def wrong_architecture(image: str, image_platform: str, engine_platform: str) -> WrongArchitecture:
    """The image's programs need another processor than the client's."""
    return WrongArchitecture(
        f"the image {image!r} is for {image_platform}, this engine is for {engine_platform}, and it"
        f" has no runtime environment for {image_platform}",
        hint=f"Use an image for {engine_platform}, or an engine on {image_platform}; an environment"
        f" that was built there can be brought here with `docker save` and `docker load`",
        image_platform=image_platform,
        environment_platform=engine_platform,
    )


def wrong_variant(image: str, image_platform: str, wanted: str) -> WrongArchitecture:
    """The image that was asked for is there for another platform only."""
    return WrongArchitecture(
        f"the image {image!r} is for {image_platform}, and {wanted} was asked for",
        hint=f"Name an image that there is for {wanted}, or leave --platform out",
        image_platform=image_platform,
        wanted_platform=wanted,
    )


def environment_unavailable(
    name: str, reason: str, log: Iterable[str], *, hint: str | None = None
) -> EnvironmentUnavailable:
    """The environment is not there and its build failed."""
    what = f"the runtime environment {name!r} could not be built"
    return stage_unavailable(what, reason, log, hint=hint)


def stage_unavailable(
    what: str, reason: str, log: Iterable[str], *, hint: str | None = None
) -> EnvironmentUnavailable:
    """What a build stage needs cannot be had."""
    lines = list(log)
    return EnvironmentUnavailable(
        _with_log(f"{what}: {reason}", lines),
        hint=hint
        or "Its build needs Debian's package archive and the Python package index, directly or"
        " by the mirrors of this machine's apt and pip settings",
        log=lines,
    )


def environment_unfit(name: str, image: str, reason: str) -> EnvironmentUnavailable:
    """The environment cannot work in this image or on this engine."""
    return EnvironmentUnavailable(
        f"the runtime environment {name!r} does not suit {image!r}: {reason}",
        hint="`--env portable` suits any image, and `--env auto` takes what suits",
        environment=name,
        reason=reason,
    )


def recipe_invalid(where: object, reason: str) -> EnvironmentUnavailable:
    """A recipe's folder does not keep to the contract."""
    return EnvironmentUnavailable(
        f"{where} is no recipe for a runtime environment: {reason}",
        hint="docs/recipes.md says what a recipe is made of",
        recipe=str(where),
        reason=reason,
    )


def plugin_invalid(what: str, reason: str, hint: str | None = None) -> PluginInvalid:
    """A package is no plugin, or none for this Tether."""
    return PluginInvalid(
        f"{what} cannot be put into an image: {reason}",
        hint=hint or PluginInvalid.default_hint,
        plugin=what,
        reason=reason,
    )


def plugin_failed(what: str, reason: str, log: Iterable[str]) -> BuildFailed:
    """What a plugin needs could not be installed."""
    lines = list(log)
    return BuildFailed(
        _with_log(f"{what} could not be installed: {reason}", lines),
        hint="Correct what the end of its output says. Packages come from where this machine's"
        " pip and apt get theirs",
        log=lines,
    )


def volume_not_filled(name: str, reason: str) -> EnvironmentUnavailable:
    """The environment is there, and the engine did not copy it into a volume."""
    return EnvironmentUnavailable(
        f"the runtime environment {name!r} could not be put into a volume: {reason}",
        hint="`docker system df` shows what room the engine has; inject='build' needs no volume",
    )


def build_failed(image: str, reason: str, log: Iterable[str]) -> BuildFailed:
    """The engine gave up on putting the client into an image."""
    lines = list(log)
    hint = "`runtime-build --dry-run` prints the Dockerfile; `--no-cache` builds from nothing"
    if _NO_LAYER_LEFT in reason:
        reason = f"it has as many layers as the engine takes ({reason})"
        hint = "Start it with inject='mount', which adds no layer"
    return BuildFailed(
        _with_log(f"putting the runtime client into {image!r} failed: {reason}", lines),
        hint=hint,
        log=lines,
    )


def not_named(image: str, tag: str, reason: str) -> BuildFailed:
    """The engine does not take a name, or not now."""
    return BuildFailed(
        f"the image {image!r} is made, and naming it {tag!r} failed: {reason}",
        hint="Choose another --tag; names are lower-case, but for a registry's",
        log=[],
    )


def push_failed(image: str, problem: str) -> PushFailed:
    """A registry did not take an image; its own words tell which way."""
    reason = next((kind for kind, words in _PUSH_WORDS.items() if words.search(problem)), "refused")
    return PushFailed(
        f"the image {image!r} is made, and pushing it failed: {problem}",
        hint=_PUSH_HINTS[reason],
        image=image,
        reason=reason,
        push_error=problem,
    )


_PUSH_WORDS = {
    "unauthorized": re.compile(r"unauthorized|authentication required|no basic auth|denied", re.I),
    "unreachable": re.compile(
        r"dial |no such host|connection refused|reset by peer|timeout|deadline|broken pipe|\bEOF\b"
        r"|no answer|x509|tls|server gave HTTP response|unreachable",
        re.I,
    ),
}
_PUSH_HINTS = {
    "unauthorized": "Log in with `docker login`, or name a place that you may write to with"
    " `--tag REGISTRY/TEAM/NAME:TAG`",
    "unreachable": "Check the name of the registry and this machine's way to it, then run the"
    " command again: what is built is not built anew",
    "refused": "See what the registry allows; `--tag REGISTRY/TEAM/NAME:TAG` names another place",
}


def invalid_tag(tag: str) -> ValueError:
    """A name was asked for that no image can have."""
    return ValueError(
        f"{tag!r} is no valid name for an image: it is lower-case letters, digits, dots, dashes"
        " and underscores, then optionally a colon and a tag, as in team/app:1"
    )


class TagOfTheBase(ValueError):
    """A new name was asked for that is the base image's own, which would lose it."""

    def __init__(self, tag: str, image: str) -> None:
        super().__init__(
            f"{tag!r} is a name of the image that is built from ({image}), and would be taken away"
            " from it: choose another one for the result, or leave it out"
        )


def _with_log(text: str, lines: list[str]) -> str:
    if not lines:
        return text
    return "\n".join([text, *(f"  {line}" for line in lines), "That is the end of its output"])
