"""Words what can go wrong with a spec: `SpecInvalid` before anything is done, then `StepFailed`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tether_runtime_client.protocol.errors import SpecInvalid, StepFailed

GUIDE = "docs/build-steps.md says what a spec is made of"
_MEANINGS = {
    126: "It was found and cannot be executed: see its permissions, and what it was built for",
    127: "It was not found: install it in an earlier step, or name its whole path",
    137: "It was killed, as the kernel does when memory runs out",
}


def spec_invalid(path: object, problems: Sequence[str]) -> SpecInvalid:
    """A file is no spec; all that is wrong with it is said at once."""
    lines = [problems[0]] if len(problems) == 1 else ["", *(f"  {each}" for each in problems)]
    return SpecInvalid(
        f"{path}: " + "\n".join(lines),
        hint=GUIDE,
        problems=list(problems),
    )


def source_refused(source: str, path: str, reason: str) -> SpecInvalid:
    """A file step's source cannot be taken."""
    where = f" ({path})" if path not in (source, "") else ""
    return SpecInvalid(
        f"the source {source!r}{where} cannot be copied: {reason}",
        hint="Sources are files and folders in the spec's folder, and what is below them is too:"
        " put a copy there",
        source=source,
        path=path,
        reason=reason,
    )


def at_step(number: int, problem: SpecInvalid) -> SpecInvalid:
    """The same, and which step it is about."""
    message = f"step {number}, field `source`: {problem.message}"
    return SpecInvalid(message, hint=problem.hint, **{**problem.data, "step": number})


def destination_is_folder(number: int, path: str) -> SpecInvalid:
    """A file would take the place of a folder, which would be gone."""
    return SpecInvalid(
        f"step {number}, field `destination`: {path} is a folder in the image",
        hint=f"Write `{path.rstrip('/')}/` to put the file into it",
        step=number,
        path=path,
    )


def source_changed(number: int, source: str) -> SpecInvalid:
    """A source was written to while it was read."""
    return SpecInvalid(
        f"the source {source!r} of step {number} changed while the image was built",
        hint="Build again when nothing writes to it any more",
        step=number,
        source=source,
    )


def secret_missing(name: str, reason: str) -> SpecInvalid:
    """A secret's value cannot be had."""
    return SpecInvalid(
        f"the secret {name!r} cannot be had: {reason}",
        hint="[secrets] of the spec says where each is: set the variable, or write the file",
        secret=name,
        reason=reason,
    )


def findings_forbidden(findings: Sequence[object]) -> SpecInvalid:
    """The linter found something, and was asked to be strict."""
    lines = "".join(f"\n  {finding}" for finding in findings)
    return SpecInvalid(
        f"the linter found {len(findings)} thing{'s' if len(findings) > 1 else ''}:{lines}\n"
        "With --strict each is an error",
        hint="Change the steps as each finding says, or leave --strict out",
        findings=[str(finding) for finding in findings],
    )


def command_failed(number: int, command: str, exit_code: int, log: Iterable[str]) -> StepFailed:
    """A command of a shell step ended with an exit code that is not 0."""
    lines = list(log)
    shown = _log(lines) if lines else "\nIt printed nothing"
    hint = _MEANINGS.get(exit_code, "Change the step and build again: the steps before it are kept")
    return StepFailed(
        f"step {number} failed with exit code {exit_code} at `{command}`{shown}",
        hint=hint,
        step=number,
        command=command,
        exit_code=exit_code,
        log=lines,
    )


def secret_left(number: int, traces: Mapping[str, str]) -> StepFailed:
    """A step has written a secret into the image."""
    places = ", ".join(f"{name!r} in {path}" for name, path in sorted(traces.items()))
    return StepFailed(
        f"step {number} leaves a secret in the image: {places}",
        hint="Remove it at the end of the step, or write it below /dev/shm, which does not stay",
        step=number,
        secrets=dict(traces),
    )


def step_refused(number: int, what: str, reason: str, log: Iterable[str] = ()) -> StepFailed:
    """The engine would not carry out a step."""
    lines = list(log)
    return StepFailed(
        f"step {number} ({what}) failed: {reason}{_log(lines)}",
        hint="Change the step and build again: the steps before it are kept",
        step=number,
        command=what,
        exit_code=None,
        log=lines,
    )


def _log(lines: Sequence[str]) -> str:
    if not lines:
        return ""
    return "".join(f"\n  {line}" for line in lines) + "\nThat is the end of its output"
