"""What this package takes and returns."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from tether_runtime_client.plugin.declaration import Declaration

Phase = Literal[
    "inspect", "pull", "environment", "plugin", "steps", "build", "push", "prune", "done"
]
Part = Literal["environment", "code", "plugin", "user"]


@dataclass(frozen=True)
class BuildProgress:
    """One step forward.

    `current` and `total` count bytes while an image is pulled or pushed, build steps while one is
    built, and are None where there is nothing to count.
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
class BuildOptions:
    """What is decided before an image is looked at.

    Attributes:
        env: the runtime environment that is asked for.
        platform: what the image is to run on (`linux/amd64`), None for what the image says.
        arguments: values for `ARG` instructions of build steps.
        ca_certificate: PEM; trusted by build steps while they run, and no part of the result.
        no_cache: nothing that was built before is taken.
    """

    env: str = "auto"
    platform: str | None = None
    arguments: Mapping[str, str] = field(default_factory=dict)
    ca_certificate: bytes | None = None
    no_cache: bool = False


@dataclass(frozen=True)
class Step:
    """An instruction that the engine carried out.

    Attributes:
        instruction: as in the Dockerfile, `COPY ...`.
        image_id: the first digits of what came of it, None where the engine did not say.
        reused: the builder had it from an earlier build.
        seconds: how long it took.
    """

    instruction: str
    image_id: str | None
    reused: bool
    seconds: float


@dataclass(frozen=True)
class Layer:
    """A layer that lies on top of the image that the client was put into.

    Attributes:
        part: what it holds: the runtime `environment`, the client's `code`, a `plugin`, or what a
            step of the `user` wrote.
        instruction: the engine's account of what made it.
        reused: it was there already.
        seconds: how long this call took to make it.
        bytes: its size.
    """

    part: Part
    instruction: str
    reused: bool
    seconds: float
    bytes: int


@dataclass(frozen=True)
class StepResult:
    """What became of a step of a spec.

    Attributes:
        number: its place in the spec, from 1.
        kind: `file` or `shell`.
        what: the step in a line.
        image: the name of the image that it made, which the next build goes on from.
        reused: it had been carried out before.
        seconds: how long this call took for it.
        bytes: how much it added to the image; None where what it was added to is gone.
    """

    number: int
    kind: Literal["file", "shell"]
    what: str
    image: str
    reused: bool
    seconds: float
    bytes: int | None


@dataclass(frozen=True)
class PluginLayer:
    """A plugin that an image has, or a volume.

    Attributes:
        name: the plugin's.
        version: of its package.
        declaration: what it says of itself; the package need not be installed here.
        image: the image of the plugin's code, which it was copied from.
        bytes: what its files take, with those that it needs.
        reused: that image was there already.
        seconds: how long this call took to make it, and what it needs.
        needs_image: the image of what it needs, None where that is nothing.
        needs_bytes: what the files in that take.
        needs_reused: that was there already, if there is any.
    """

    name: str
    version: str
    declaration: Declaration
    image: str
    bytes: int
    reused: bool
    seconds: float
    needs_image: str | None = None
    needs_bytes: int = 0
    needs_reused: bool = True


@dataclass(frozen=True)
class BuildResult:
    """An image that holds the runtime client.

    Attributes:
        image_id: the engine's id of the image (`sha256:...`).
        tag: a name that the image has.
        fingerprint: 64 hexadecimal digits over all that went into the image.
        reused: the image was there already, and nothing was built.
        platform: what it runs on, as in `linux/amd64`.
        environment: the kind of runtime environment in it (`portable`).
        environment_reason: why it is that one.
        environment_image: an image that holds that environment alone, the client included.
        environment_parts: bytes of each part of it, without the client's code.
        environment_reused: the environment was there already, the client's code included.
        environment_seconds: how long this call took to make the environment.
        layers: what lies on top of the image that the client was put into, the lowest first.
        base_id: the id of the image that the client was put into.
        seconds: how long the call took.
        bytes_added: how much larger the image is than the one that it was made from.
        entrypoint: the image's ENTRYPOINT, None if none.
        command: the image's CMD, None if none.
        pushed: the digest reference that the image has in its registry, None where not pushed.
        steps: what became of each step of the spec.
        plugins: those that the image has, by name.
    """

    image_id: str
    tag: str
    fingerprint: str
    reused: bool
    platform: str
    environment: str
    environment_reason: str
    environment_image: str
    environment_parts: Mapping[str, int]
    environment_reused: bool
    environment_seconds: float
    layers: tuple[Layer, ...]
    base_id: str
    seconds: float
    bytes_added: int
    entrypoint: tuple[str, ...] | None
    command: tuple[str, ...] | None
    pushed: str | None = None
    steps: tuple[StepResult, ...] = ()
    plugins: tuple[PluginLayer, ...] = ()


Kind = Literal["image", "step", "plugin", "environment", "volume"]


@dataclass(frozen=True)
class Leftover:
    """Something that `prune` looked at.

    Attributes:
        kind: an `image` with the client in it, what a `step` of a spec made, a `plugin`'s own
            image, an `environment`'s image, or an environment's `volume`.
        name: what it is called.
        bytes: what goes with it: layers that another image has too are not counted.
        reason: why it stays; empty where it goes.
    """

    kind: Kind
    name: str
    bytes: int
    reason: str = ""


@dataclass(frozen=True)
class PruneResult:
    """What `prune` removed, or would remove.

    Attributes:
        removed: what is gone; on a dry run, what would be.
        kept: what was made by Tether and stays, with the reason.
        bytes_freed: how much room that made.
        dry_run: nothing was changed.
    """

    removed: tuple[Leftover, ...]
    kept: tuple[Leftover, ...]
    bytes_freed: int
    dry_run: bool


@dataclass(frozen=True)
class Image:
    """The facts about an image that matter here, out of the engine's description of it.

    `parent` is empty where the image was not built on this engine; `layer_ids` are the digests of
    its layers' contents, the lowest first.
    """

    image_id: str
    names: tuple[str, ...]
    platform: str
    size: int
    labels: Mapping[str, str]
    user: str
    entrypoint: tuple[str, ...] | None
    command: tuple[str, ...] | None
    has_triggers: bool
    parent: str
    created: datetime
    layer_ids: tuple[str, ...]

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
            user=config.get("User") or "",
            entrypoint=_words(config.get("Entrypoint")),
            command=_words(config.get("Cmd")),
            has_triggers=bool(config.get("OnBuild")),
            parent=attributes.get("Parent") or "",
            created=moment(attributes.get("Created")),
            layer_ids=tuple((attributes.get("RootFS") or {}).get("Layers") or ()),
        )


def moment(text: str | None) -> datetime:
    """A time as the engine writes it, to the second; the oldest there is where it has none."""
    found = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)", text or "")
    if not found:
        return datetime.min.replace(tzinfo=UTC)
    return datetime.fromisoformat(found[1] + found[2].replace("Z", "+00:00"))


def _words(value: Sequence[str] | None) -> tuple[str, ...] | None:
    return tuple(value) if value else None
