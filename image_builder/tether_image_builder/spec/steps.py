"""Carries out the steps of a spec: each makes an image, which is kept under its fingerprint.

The engine's own cache is not asked. It knows nothing of secrets and proxies, and what it holds on
to depends on what else is done with an image; here a name decides, and nothing else.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..exchange import EngineRefusal
from ..locks import held
from ..models import BuildProgress, Image, ProgressReport, Step, StepResult
from ..render import BASE_LABEL, PREFIX
from . import container
from .access import Access
from .container import STEP_LABEL, Process, StepContainer
from .copying import copy_order
from .errors import command_failed, source_changed, step_refused
from .model import FileStep, ShellStep
from .output import StepOutput
from .plan import PlannedStep, StepPlan, summary
from .script import APT_SETTINGS, CERTIFICATES, SECRETS, apt_settings, environment, program
from .secrets import Redactor, read_secret, where
from .sources import write_archive

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..engine import Engine, ImageFiles

SHELL = "/bin/sh"
OWN_SHELL = f"{PREFIX}/bin/bash"


@dataclass(frozen=True)
class Workshop:
    """What steps are carried out with.

    Attributes:
        engine: where.
        plan: all of them.
        access: this machine's way to package archives.
        own_environment: gives the name of a volume with the runtime environment, for the sake of
            its shell; asked only where an image has none.
        report: is told about each step, and each line that one prints.
    """

    engine: Engine
    plan: StepPlan
    access: Access
    own_environment: Callable[[], str]
    report: ProgressReport


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
    known = [None if no_cache else find_step(workshop.engine, each) for each in steps]
    done = max((number for number, found in enumerate(known, 1) if found), default=0)
    with _start(workshop, base, known[done - 1] if done else None) as start:
        prepared = Prepared(start)
        size = base.size
        for planned, found in zip(steps[:done], known[:done], strict=True):
            prepared.results.append(_result(planned, found, size, seconds=None))
            size = found.size if found is not None else 0
        for planned in steps[done:]:
            _advance(workshop, prepared, planned, no_cache=no_cache)
    return prepared


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
            _carry_out_one(workshop, planned, prepared.image_id)
        found = find_step(engine, planned)
    if found is None:
        raise step_refused(planned.number, planned.what, f"the engine lost {planned.tag}")
    seconds = time.monotonic() - began if is_new else None
    if seconds is not None:
        prepared.done.append(_as_step(planned, found, seconds))
    size = below.size if below is not None else 0
    prepared.results.append(_result(planned, found, size, seconds=seconds))
    prepared.image_id = found.image_id
    if old is not None and old.image_id != found.image_id:
        engine.discard(old.image_id)  # it had the name until now


def _as_step(planned: PlannedStep, found: Image, seconds: float) -> Step:
    """Its layer is below the labels, where it was the engine's builder that made it."""
    layer = found.parent if isinstance(planned.step, FileStep) else found.image_id
    return Step(planned.what, layer.removeprefix("sha256:"), False, seconds)


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


def _carry_out_one(workshop: Workshop, planned: PlannedStep, image_id: str) -> None:
    count = len(workshop.plan.steps)
    workshop.report(BuildProgress("steps", planned.what, planned.number, count))
    try:
        if isinstance(planned.step, FileStep):
            _copy(workshop, planned, planned.step, image_id)
        else:
            made = _ShellRun(workshop, planned, planned.step, image_id).run()
            workshop.engine.tag(made, planned.tag)
    except EngineRefusal as problem:
        raise step_refused(planned.number, planned.what, problem.reason, problem.log) from None


def _copy(workshop: Workshop, planned: PlannedStep, step: FileStep, image_id: str) -> None:
    folder = workshop.plan.spec.folder
    content = planned.content
    is_folder = content is not None and content.is_folder
    labels = {STEP_LABEL: planned.fingerprint, BASE_LABEL: image_id}
    order = copy_order(step, is_folder, image_id, planned.tag, labels)
    with tempfile.TemporaryFile() as archive:
        digest = write_archive(folder, step, order.dockerfile, archive)
        if content is None or digest != content.digest:
            raise source_changed(planned.number, step.source)
        archive.seek(0)
        order.build(workshop.engine, archive)


class _ShellRun:
    """One shell step on one image."""

    def __init__(
        self, workshop: Workshop, planned: PlannedStep, step: ShellStep, image_id: str
    ) -> None:
        self._workshop = workshop
        self._planned = planned
        self._step = step
        self._image_id = image_id
        spec = workshop.plan.spec
        self._secrets = {name: read_secret(spec, name) for name in step.secrets}
        hidden = [*self._secrets.values(), *workshop.access.passwords]
        self._redact = Redactor(hidden)
        self._output = StepOutput(self._redact, self._say)

    def run(self) -> str:
        """Gives the id of the image that came of it."""
        api = self._workshop.engine.api
        for name in self._step.secrets:
            place = where(self._workshop.plan.spec.secrets[name])
            self._say(f"given the secret {name} from {place}")
        image = container.described(api, self._image_id)
        with self._workshop.engine.files(self._image_id) as files:
            shell = self._step.shell or (SHELL if files.read(SHELL) else OWN_SHELL)
            process = self._process(shell, files)
        is_own = shell.startswith(f"{PREFIX}/")
        volumes = {self._workshop.own_environment(): PREFIX} if is_own else {}
        with container.step_container(api, image, shell, volumes) as room:
            exit_code = room.run(process, self._output.take)
            self._output.end()
            if exit_code:
                self._fail(room, exit_code)
            labels = {STEP_LABEL: self._planned.fingerprint, BASE_LABEL: self._image_id}
            return room.commit(image["Config"], labels, self._comment())

    def _process(self, shell: str, files: ImageFiles) -> Process:
        def read(path: str) -> bytes | None:
            found = files.read(path)
            return found.content if found is not None else None

        access = self._workshop.access
        trusted = access.trusted_with(read)
        laid = {f"{SECRETS}/{name}": value for name, value in self._secrets.items()}
        settings = apt_settings(access.apt_settings, has_certificates=bool(trusted))
        laid[APT_SETTINGS] = settings.encode()
        if trusted:
            laid[CERTIFICATES] = trusted
        given = environment(has_certificates=bool(trusted), has_secrets=bool(self._secrets))
        return Process(
            shell=shell,
            program=program(shell, self._step.script, laid),
            user=self._step.user or "0",
            workdir=self._step.workdir,
            environment={**given, **access.proxies, **self._step.env},
        )

    def _fail(self, room: StepContainer, exit_code: int) -> None:
        reached = room.command_reached()
        number, tail = self._planned.number, list(self._output.tail)
        if reached is None:
            reason = tail[-1] if tail else f"its shell ended with exit code {exit_code}"
            raise step_refused(number, self._redact(self._planned.what), reason)
        command = self._redact(summary(self._step.script[reached - 1]))
        raise command_failed(number, command, exit_code, tail)

    def _say(self, line: str) -> None:
        count = len(self._workshop.plan.steps)
        self._workshop.report(BuildProgress("steps", line, self._planned.number, count))

    def _comment(self) -> str:
        return self._redact(f"step {self._planned.number}: {self._planned.what}")
