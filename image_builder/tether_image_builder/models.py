"""What this package takes and returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Phase = Literal["inspect", "pull", "environment", "build", "done"]


@dataclass(frozen=True)
class BuildProgress:
    """One step forward.

    `current` and `total` count bytes while an image is pulled, build steps while one is built,
    and are None where there is nothing to count.
    """

    phase: Phase
    message: str
    current: int | None = None
    total: int | None = None

    def __str__(self) -> str:
        return self.message


ProgressReport = Callable[[BuildProgress], None]


def ignore_progress(_: BuildProgress) -> None:
    """The report of whoever does not ask for one."""


@dataclass(frozen=True)
class BuildResult:
    """An image that holds the runtime client.

    Attributes:
        image_id: the engine's id of the image (`sha256:...`).
        tag: a name that the image has.
        fingerprint: 64 hexadecimal digits over all that went into the image.
        reused: the image was there already, and nothing was built.
        environment: the kind of runtime environment in it (`portable`).
        environment_image: an image that holds that environment alone, the client included.
        base_id: the id of the image that the client was put into.
        seconds: how long the call took.
        bytes_added: how much larger the image is than the one that it was made from.
        entrypoint: the ENTRYPOINT that the image had before, None if none.
        command: the CMD that the image had before, None if none.
    """

    image_id: str
    tag: str
    fingerprint: str
    reused: bool
    environment: str
    environment_image: str
    base_id: str
    seconds: float
    bytes_added: int
    entrypoint: tuple[str, ...] | None
    command: tuple[str, ...] | None


@dataclass(frozen=True)
class Image:
    """The facts about an image that matter here, out of the engine's description of it."""

    image_id: str
    names: tuple[str, ...]
    platform: str
    size: int
    labels: Mapping[str, str]
    entrypoint: tuple[str, ...] | None
    command: tuple[str, ...] | None
    has_triggers: bool

    @classmethod
    def from_engine(cls, attributes: Mapping[str, Any]) -> Image:
        """Takes the engine's answer to an image inspection."""
        config = attributes.get("Config") or {}
        return cls(
            image_id=attributes["Id"],
            names=tuple(attributes.get("RepoTags") or ()),
            platform=f"{attributes['Os']}/{attributes['Architecture']}",
            size=attributes["Size"],
            labels=config.get("Labels") or {},
            entrypoint=_words(config.get("Entrypoint")),
            command=_words(config.get("Cmd")),
            has_triggers=bool(config.get("OnBuild")),
        )


def _words(value: Sequence[str] | None) -> tuple[str, ...] | None:
    return tuple(value) if value else None
