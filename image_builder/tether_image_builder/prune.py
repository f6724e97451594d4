"""Removes images and environments that are no longer wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING

from .engine import Engine, EngineRefusal, connected
from .environment import KIND_LABEL
from .locks import IMAGES, held
from .models import (
    BuildProgress,
    Image,
    Kind,
    Leftover,
    ProgressReport,
    PruneResult,
    ignore_progress,
)
from .ours import (
    ENVIRONMENT,
    is_built,
    is_environment,
    is_environment_base,
    is_plugin,
    is_stage,
    is_step,
    needs_mark,
    wanted_marks,
)
from .plugins.labels import LabelledPlugin, readable_plugins
from .plugins.needs import NEEDS_LABEL
from .render import (
    BASE_LABEL,
    ENVIRONMENT_FINGERPRINT_LABEL,
    FINGERPRINT_LABEL,
    PLUGINS_LABEL,
)
from .stock import Stock, Volume, chain
from .volume import FILLED_LABEL

if TYPE_CHECKING:
    import docker


def prune_images(
    *patterns: str,
    client: docker.DockerClient | None = None,
    everything: bool = False,
    older_than: timedelta | None = None,
    dry_run: bool = False,
    progress: ProgressReport | None = None,
) -> PruneResult:
    """Removes what was made for runtime clients that are not today's.

    Wanted is what has the runtime environment that this installation would put in, and what a
    container uses. Only what was made here is looked at: an image that somebody gave a name of
    his own, built on top of one of these, pulled or loaded is his. It waits for builds that are
    at work, and builds wait for it.

    Args:
        patterns: only what has a name like one of these (`team/*`) is looked at; all without any.
        client: the engine; without it the one that the process environment names.
        everything: also what is wanted, but for what a container uses.
        older_than: only what was made longer ago than this.
        dry_run: change nothing, and say what would be removed.
        progress: is told what is removed.

    Raises:
        EngineUnavailable: no engine answers.
    """
    report = progress or ignore_progress

    def waiting() -> None:
        report(BuildProgress("prune", "waiting for a build to end"))

    alone = nullcontext() if dry_run else held(IMAGES, on_wait=waiting)
    with alone, connected(client) as engine:
        search = _Search(engine, patterns)
        found = list(search.candidates(search.rule(everything, older_than)))
        kept = [each.leftover for each in found if each.leftover.reason]
        going = [each for each in found if not each.leftover.reason]
        if not dry_run:
            going, refused = _remove(going, report)
            kept += refused
    removed = tuple(each.leftover for each in going)
    return PruneResult(removed, tuple(kept), sum(each.bytes for each in removed), dry_run)


@dataclass(frozen=True)
class _Candidate:
    leftover: Leftover
    remove: Callable[[], None]


@dataclass(frozen=True)
class _Rule:
    """What stays: what has one of the marks, what is used, and what was made later than that."""

    marks: frozenset[str]
    used: frozenset[str]
    newest: datetime | None

    def why_kept(self, marks: Iterable[str], created: datetime) -> str:
        """Empty where it goes."""
        marks = set(marks)
        if marks & self.used:
            return "a container uses it"
        if marks & self.marks:
            return "it is wanted today"
        return "it is too young" if self.newest is not None and created > self.newest else ""

    def why_image_kept(self, image: Image) -> str:
        """Empty where it goes."""
        environment = image.labels.get(ENVIRONMENT_FINGERPRINT_LABEL, "")
        return self.why_kept({image.image_id, environment, *image.names}, image.created)

    def why_volume_kept(self, volume: Volume, filled: set[str]) -> str:
        """Empty where it goes, as does one that was never filled to its end.

        An environment has two volumes: one is empty, and names the other as filled.
        """
        names = {volume.name, volume.labels.get(FILLED_LABEL, "")} - {""}
        if names & filled and self._is_of_today(volume.labels):
            names.add(volume.labels.get(FINGERPRINT_LABEL, ""))
            names.add(volume.labels.get(ENVIRONMENT_FINGERPRINT_LABEL, ""))
        return self.why_kept(names, volume.created)

    def _is_of_today(self, labels: Mapping[str, str]) -> bool:
        """Whether all plugins of a volume would be put in today."""
        return self.marks.issuperset(labels.get(PLUGINS_LABEL, "").split())

    def why_plugin_kept(self, image: Image, needed: set[str], marks: Iterable[str] = ()) -> str:
        """Empty where it goes. An image that stays can be made again only with its plugins."""
        if image.names and needed.intersection(image.names):
            return "what stays has it"
        return self.why_kept({image.image_id, *image.names, *marks}, image.created)


class _Search:
    """Finds what was made here."""

    def __init__(self, engine: Engine, patterns: Sequence[str]) -> None:
        self._engine = engine
        self._stock = Stock(engine)
        self._patterns = patterns or ("*",)
        self._images = self._stock.images()
        self._built = [image for image in self._images if is_built(image) and self._fits(image)]
        steps = [image for image in self._images if is_step(image) and self._fits(image)]
        self._steps = sorted(steps, key=_later_first)
        self._plugins = [image for image in self._images if is_plugin(image) and self._fits(image)]
        environments = [image for image in self._images if is_environment(image) or is_stage(image)]
        self._platforms = {engine.platform, *(image.platform for image in environments)}
        self._environments = sorted(filter(self._fits, environments), key=is_environment_base)

    def _fits(self, found: Image | Volume) -> bool:
        names = (found.name,) if isinstance(found, Volume) else found.names or (found.image_id,)
        return any(fnmatchcase(name, pattern) for name in names for pattern in self._patterns)

    def rule(self, everything: bool, older_than: timedelta | None) -> _Rule:
        """What is asked for, with the facts of now."""
        return _Rule(
            frozenset() if everything else frozenset(wanted_marks(self._platforms)),
            frozenset(self._stock.used()),
            None if older_than is None else datetime.now(UTC) - older_than,
        )

    def candidates(self, rule: _Rule) -> Iterator[_Candidate]:
        """What there is, in the order in which it can be removed."""
        decided = self._decided(rule)
        going = {image.image_id for _, image, reason in decided if not reason}
        room = _Room(self._engine, self._stock, self._images, going)
        for kind, image, reason in decided:
            size = 0 if reason else room.taken_by(image)
            name = image.names[0] if image.names else image.image_id
            leftover = Leftover(kind, name, size, reason)
            yield _Candidate(leftover, partial(self._stock.remove_image, image))
        yield from self._volumes(rule)

    def _decided(self, rule: _Rule) -> list[tuple[Kind, Image, str]]:
        decided: list[tuple[Kind, Image, str]] = [
            ("image", image, rule.why_image_kept(image)) for image in self._built
        ]
        going = {image.image_id for _, image, reason in decided if not reason}
        decided += [("step", image, reason) for image, reason in self._decided_steps(rule, going)]
        decided += [("plugin", *each) for each in self._decided_plugins(rule, going)]
        decided += [("environment", each, rule.why_image_kept(each)) for each in self._environments]
        return decided

    def _decided_plugins(self, rule: _Rule, going: set[str]) -> Iterator[tuple[Image, str]]:
        """A plugin's code is needed by images that have it, and what it needs by its code too."""
        stays = [image for image in self._images if image.image_id not in going]
        there = [each for image in stays if not is_plugin(image) for each in _plugins_of(image)]
        code = {each.image for each in there}
        needs = {each.needs for each in there if each.needs is not None}
        for image in self._plugins:
            if NEEDS_LABEL not in image.labels:
                reason = rule.why_plugin_kept(image, code)
                needs |= {each.needs for each in _plugins_of(image) if reason and each.needs}
                yield image, reason
        # Today's code is not there before it is built; it takes the last that was made, as a rule.
        latest = {needs_mark(image): image.image_id for image in sorted(self._images, key=_made_at)}
        for image in self._plugins:
            if NEEDS_LABEL in image.labels:
                mark = needs_mark(image)
                marks = {mark} if latest[mark] == image.image_id else set[str]()
                yield image, rule.why_plugin_kept(image, needs, marks)

    def _decided_steps(self, rule: _Rule, going: set[str]) -> Iterator[tuple[Image, str]]:
        """A step is wanted where something that stays was made of it, a later step too."""
        steps = {image.image_id for image in self._steps}
        others = (image.image_id for image in self._images)
        parents = self._stock.parents() if steps else {}
        needed = set(_made_of(parents, (each for each in others if each not in going | steps)))
        for image in self._steps:
            reason = rule.why_kept({image.image_id}, image.created)
            if image.image_id in needed:
                reason = "what stays was made of it"
            if reason:
                needed.update(_made_of(parents, [image.image_id]))
            yield image, reason

    def _volumes(self, rule: _Rule) -> Iterator[_Candidate]:
        every = self._stock.volumes(f"{KIND_LABEL}={ENVIRONMENT}")
        filled = {volume.labels.get(FILLED_LABEL, "") for volume in every}
        volumes = list(filter(self._fits, every))
        sizes = self._stock.volume_sizes() if volumes else {}
        for volume in volumes:
            reason = rule.why_volume_kept(volume, filled)
            size = 0 if reason else sizes.get(volume.name, 0)
            leftover = Leftover("volume", volume.name, size, reason)
            yield _Candidate(leftover, partial(self._stock.remove_volume, volume.name))


def _plugins_of(image: Image) -> Sequence[LabelledPlugin]:
    return readable_plugins(image.labels)


def _made_at(image: Image) -> float:
    return image.created.timestamp()


def _later_first(image: Image) -> tuple[int, float]:
    return -len(image.layer_ids), -image.created.timestamp()


def _made_of(parents: Mapping[str, str], image_ids: Iterable[str]) -> Iterator[str]:
    """All that images were made of, step by step."""
    for image_id in image_ids:
        while image_id := parents.get(image_id, ""):
            yield image_id


class _Room:
    """Counts each layer once, and those that an image that stays has too not at all."""

    def __init__(
        self, engine: Engine, stock: Stock, images: Iterable[Image], going: set[str]
    ) -> None:
        self._engine = engine
        self._stock = stock
        self._counted = {
            place for image in images if image.image_id not in going for place in chain(image)
        }

    def taken_by(self, image: Image) -> int:
        """The bytes that go with an image, after those that were asked about before."""
        base = self._engine.find(image.labels.get(BASE_LABEL, ""))
        self._counted |= set(chain(base)) if base is not None else set()
        sizes = self._stock.layer_sizes(image)
        own = [place for place in chain(image) if place not in self._counted]
        self._counted |= set(own)
        return sum(sizes.get(place, 0) for place in own)


def _remove(
    going: list[_Candidate], report: ProgressReport
) -> tuple[list[_Candidate], list[Leftover]]:
    gone, refused = [], []
    for each in going:
        report(BuildProgress("prune", f"removing {each.leftover.name}"))
        try:
            each.remove()
        except EngineRefusal as problem:
            refused.append(replace(each.leftover, reason=problem.reason, bytes=0))
        else:
            gone.append(each)
    return gone, refused
