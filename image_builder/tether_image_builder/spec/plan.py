"""What the steps of a spec come to on an image: decided here, with nothing changed."""

from __future__ import annotations

import json
from dataclasses import dataclass

from ..errors import SpecInvalid
from ..fingerprint import fingerprint
from ..names import FINGERPRINT_DIGITS
from .errors import at_step
from .model import FileStep, ShellStep, Spec
from .secrets import where
from .sources import Content, look_at

REPOSITORY = "tether-step"
RULES = "1"  # how steps are carried out: another number makes every step run again


@dataclass(frozen=True)
class PlannedStep:
    """A step and what it will be called.

    Attributes:
        number: its place in the spec, from 1.
        step: the step itself.
        content: what a file step copies, None for a shell step.
        fingerprint: 64 hexadecimal digits over the base image, the steps before it and itself.
    """

    number: int
    step: FileStep | ShellStep
    content: Content | None
    fingerprint: str

    @property
    def tag(self) -> str:
        """The name of the image that the step makes."""
        return f"{REPOSITORY}:{self.fingerprint[:FINGERPRINT_DIGITS]}"

    @property
    def what(self) -> str:
        """The step in a line."""
        if isinstance(self.step, FileStep):
            return f"{self.step.source} -> {self.step.destination}"
        return summary("; ".join(summary(command) for command in self.step.script))


@dataclass(frozen=True)
class StepPlan:
    """All steps of a spec, on one image."""

    spec: Spec
    steps: tuple[PlannedStep, ...]

    @property
    def fingerprint(self) -> str:
        """Over the base image and all steps; empty where there is none."""
        return self.steps[-1].fingerprint if self.steps else ""

    def describe(self) -> str:
        """What will be done, as comments of a Dockerfile; values of secrets are not read."""
        lines = [line for planned in self.steps for line in _described(self.spec, planned)]
        return "".join(f"# {line}".rstrip() + "\n" for line in lines)


def plan_steps(spec: Spec, base_id: str) -> StepPlan:
    """Reads the sources and names every step; asks no engine.

    Raises:
        SpecInvalid: a source is missing, or is one that is refused.
    """
    planned: list[PlannedStep] = []
    before = base_id
    for number, step in enumerate(spec.steps, 1):
        content = _content(spec, number, step) if isinstance(step, FileStep) else None
        before = _fingerprint(spec, step, content, before)
        planned.append(PlannedStep(number, step, content, before))
    return StepPlan(spec, tuple(planned))


def _content(spec: Spec, number: int, step: FileStep) -> Content:
    try:
        return look_at(spec.folder, step)
    except SpecInvalid as problem:
        raise at_step(number, problem) from None


def _fingerprint(
    spec: Spec, step: FileStep | ShellStep, content: Content | None, before: str
) -> str:
    wanted = step.secrets if isinstance(step, ShellStep) else ()
    return fingerprint(
        {
            "rules": RULES,
            "before": before,
            "step": json.dumps(step.model_dump(mode="json"), sort_keys=True),
            "content": "" if content is None else content.digest,
            # A secret's value is in no fingerprint: whoever has the image could guess at it.
            "secrets": json.dumps([spec.secrets[name].version for name in wanted]),
        }
    )


def summary(command: str, longest: int = 72) -> str:
    """A command's first line that says something, cut where it is long."""
    lines = [line.strip() for line in command.strip().splitlines()]
    first = next((line for line in lines if line and not line.startswith("#")), lines[0])
    cut = first if len(first) <= longest else f"{first[: longest - 1]}…"
    return cut if len(lines) == 1 or cut.endswith("…") else f"{cut} …"


def _described(spec: Spec, planned: PlannedStep) -> list[str]:
    head = f"step {planned.number} makes {planned.tag}"
    if isinstance(planned.step, FileStep):
        return [head, *_described_files(planned.step, planned.content)]
    return [head, *_described_shell(spec, planned.step)]


def _described_files(step: FileStep, content: Content | None) -> list[str]:
    facts = [f"owner {step.owner or 'root'}", f"mode {step.mode or 'as it is'}"]
    if content is not None:
        facts += [f"{content.files} files", f"{content.bytes} bytes"]
    return [f"    copy {step.source!r} to {step.destination!r} ({', '.join(facts)})"]


def _described_shell(spec: Spec, step: ShellStep) -> list[str]:
    place = step.workdir or "the image's own folder"
    lines = [f"    run as {step.user or 'root'} in {place} with {step.shell or '/bin/sh'}:"]
    lines += [f"    variable {name}={value}" for name, value in sorted(step.env.items())]
    lines += [f"    secret {name} from {where(spec.secrets[name])}" for name in step.secrets]
    return [*lines, *(f"      {line}" for command in step.script for line in command.splitlines())]
