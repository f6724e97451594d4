"""Carries out the steps of a spec: each makes an image, which is kept under its fingerprint.

The engine's own cache is not asked. It knows nothing of secrets and proxies, and what it holds on
to depends on what else is done with an image; here a name decides, and nothing else.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..exchange import EngineRefusal
from ..locks import held
from ..models import Image, Step, StepResult
from ..render import BASE_LABEL
from . import container
from .container import STEP_LABEL
from .copying import copy_order
from .errors import source_changed, step_refused
from .model import FileStep, ShellStep
from .plan import PlannedStep, StepPlan
from .ready import check_places, check_secrets, refuse_folders
from .shell_run import ShellRun
from .sources import write_archive
from .workshop import Workshop

if TYPE_CHECKING:
    from ..engine import Engine

_UNKNOWN_OWNER = re.compile(r"can't find [ug]id for (user|group) ([^:\s]+)")  # the builder's words


@dataclass
class Prepared:
    """An image with the steps in it, what became of each step, and what the engine had to do."""

    image_id: str
    results: list[StepResult] = field(default_factory=list)
    done: list[Step] = field(default_factory=list)


def carry_out(workshop: Workshop, base: Image, *, no_cache: bool = False) -> Prepared:
    """Carries out what has not been done before on this base. Two at once do a step once.

    Raises:
        SpecInvalid: a secret is not there, or a source changed.
        StepFailed: a step did not come to its end; those before it are kept.
    """
    steps = workshop.plan.steps
    known = _known(workshop.engine, steps, no_cache=no_cache)
    done = len(known)
    with _start(workshop, base, known[done - 1] if done else None) as start:
        prepared = Prepared(start)
        size = base.size
        for planned, found in zip(steps[:done], known, strict=True):
            prepared.results.append(_result(planned, found, size, seconds=None))
            size = found.size if found is not None else 0
        for planned in steps[done:]:
            _advance(workshop, prepared, planned, no_cache=no_cache)
    return prepared


def check_ready(engine: Engine, plan: StepPlan, base: Image, *, no_cache: bool = False) -> None:
    """Looks for what would fail a step that has to be carried out; changes nothing.

    Raises:
        SpecInvalid: a secret is not there, or a file would take the place of a folder.
    """
    done = len(_known(engine, plan.steps, no_cache=no_cache))
    check_secrets(plan, plan.steps[done:])
    check_places(engine, plan, base.image_id)


def _known(engine: Engine, steps: tuple[PlannedStep, ...], *, no_cache: bool) -> list[Image | None]:
    """What is there of the steps, up to the last one that is: none of these is done again."""
    known = [None if no_cache else find_step(engine, each) for each in steps]
    done = max((number for number, found in enumerate(known, 1) if found), default=0)
    return known[:done]


def reused_steps(engine: Engine, plan: StepPlan, base: Image) -> tuple[StepResult, ...]:
    """The results of steps none of which had to be carried out."""
    results, size = [], base.size
    for planned in plan.steps:
        found = find_step(engine, planned)
        results.append(_result(planned, found, size, seconds=None))
        size = found.size if found is not None else 0
    return tuple(results)


def find_step(engine: Engine, planned: PlannedStep) -> Image | None:
    """The image that a step made here before."""
    found = engine.find(planned.tag)
    same = found is not None and found.labels.get(STEP_LABEL) == planned.fingerprint
    return found if same else None


@contextmanager
def _start(workshop: Workshop, base: Image, last: Image | None) -> Iterator[str]:
    """The image that the first step to be done is done on."""
    if last is not None or not base.has_triggers:
        yield last.image_id if last is not None else base.image_id
        return
    copy = container.without_triggers(workshop.engine.api, base.image_id)
    try:
        yield copy
    finally:
        workshop.engine.discard(copy)  # stays while a step was made on it


def _advance(
    workshop: Workshop, prepared: Prepared, planned: PlannedStep, *, no_cache: bool
) -> None:
    engine = workshop.engine
    below = engine.find(prepared.image_id)
    began = time.monotonic()
    with held(planned.tag):
        old = find_step(engine, planned)
        is_new = old is None or no_cache
        if is_new:
            prepared.done += _carry_out_one(workshop, planned, prepared.image_id)
        found = find_step(engine, planned)
    if found is None:
        raise step_refused(planned.number, planned.what, f"the engine lost {planned.tag}")
    seconds = time.monotonic() - began if is_new else None
    size = below.size if below is not None else 0
    prepared.results.append(_result(planned, found, size, seconds=seconds))
    prepared.image_id = found.image_id
    if old is not None and old.image_id != found.image_id:
        engine.discard(old.image_id)  # it had the name until now


def _result(
    planned: PlannedStep, found: Image | None, size_below: int, *, seconds: float | None
) -> StepResult:
    """A step that took no time was not carried out."""
    size = max(found.size - size_below, 0) if found is not None and size_below else None
    return StepResult(
        number=planned.number,
        kind=planned.step.kind,
        what=planned.what,
        image=planned.tag,
        reused=seconds is None,
        seconds=seconds or 0.0,
        bytes=size,
    )


def _carry_out_one(workshop: Workshop, planned: PlannedStep, image_id: str) -> tuple[Step, ...]:
    """Gives what the engine did."""
    workshop.say(planned, planned.what)
    try:
        if isinstance(planned.step, FileStep):
            return _copy(workshop, planned, planned.step, image_id)
        return (_run(workshop, planned, planned.step, image_id),)
    except EngineRefusal as problem:
        if unknown := _UNKNOWN_OWNER.search(problem.reason):
            reason = f"field `owner`: the image has no {unknown[1]} {unknown[2]!r}"
            raise step_refused(planned.number, planned.what, reason) from None
        raise step_refused(planned.number, planned.what, problem.reason, problem.log) from None


def _run(workshop: Workshop, planned: PlannedStep, step: ShellStep, image_id: str) -> Step:
    began = time.monotonic()
    made = ShellRun(workshop, planned, step, image_id).run()
    workshop.engine.tag(made, planned.tag)
    return Step(planned.what, made.removeprefix("sha256:"), False, time.monotonic() - began)


def _copy(
    workshop: Workshop, planned: PlannedStep, step: FileStep, image_id: str
) -> tuple[Step, ...]:
    refuse_folders(workshop.engine, (planned,), image_id)
    content = planned.content
    is_folder = content is not None and content.is_folder
    labels = {STEP_LABEL: planned.fingerprint, BASE_LABEL: image_id}
    order = copy_order(step, is_folder, image_id, planned.tag, labels)
    with tempfile.TemporaryFile() as archive:
        digest = write_archive(workshop.plan.spec.folder, step, order.dockerfile, archive)
        if content is None or digest != content.digest:
            raise source_changed(planned.number, step.source)
        archive.seek(0)
        return order.build(workshop.engine, archive, workshop.platform)
