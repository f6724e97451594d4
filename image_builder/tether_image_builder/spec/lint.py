"""Warns of commands that go wrong in an image's build, or that are no longer needed in one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .calls import Call, calls
from .model import ShellStep, Spec
from .rules import RULES, Warned
from .shell_words import first_error
from .state import State

UNREADABLE = "cannot-be-parsed"
_MESSAGE = "the shell's grammar does not allow what begins here, and what follows may go unread"
_FIX = "See whether a quote, a bracket or a word like `fi` and `done` is missing"


@dataclass(frozen=True)
class Finding:
    """Something that the linter would have changed.

    Attributes:
        code: stable, as in `apt-without-yes`.
        step: the step's number, from 1.
        line: of the step's commands, from 1, taken together.
        message: what is wrong.
        fix: what to do.
    """

    code: str
    step: int
    line: int
    message: str
    fix: str

    def __str__(self) -> str:
        return f"step {self.step}, line {self.line}: {self.code}: {self.message}. {self.fix}"


def lint(spec: Spec) -> tuple[Finding, ...]:
    """Everything that is found, in the order of the steps; runs nothing and asks no engine."""
    state = State()
    found: list[Finding] = []
    for number, step in enumerate(spec.steps, 1):
        if isinstance(step, ShellStep):
            state.begin_step(step)
            found += _of_step(number, step, state)
    return tuple(found)


def _of_step(number: int, step: ShellStep, state: State) -> Iterator[Finding]:
    seen: set[tuple[str, int]] = set()
    pieces = _pieces(step)
    for first_line, script in pieces:
        if (line := first_error(script)) is not None:
            yield Finding(UNREADABLE, number, first_line + line - 1, _MESSAGE, _FIX)
    for call in (call for first_line, script in pieces for call in calls(script, first_line)):
        for warned in _warnings(call, state):
            if (warned.code, call.line) not in seen:  # a program and what runs it say the same
                seen.add((warned.code, call.line))
                yield Finding(warned.code, number, call.line, warned.message, warned.fix)
        state.take(call)


def _pieces(step: ShellStep) -> list[tuple[int, str]]:
    """What is parsed together, each with its first line.

    A command that cannot be parsed would hide those around it: then each is parsed by itself.
    """
    whole = "\n".join(step.script)
    if first_error(whole) is None:
        return [(1, whole)]
    pieces, line = [], 1
    for command in step.script:
        pieces.append((line, command))
        line += command.count("\n") + 1
    apart = any(first_error(command) is not None for _, command in pieces)
    return pieces if apart else [(1, whole)]


def _warnings(call: Call, state: State) -> Iterator[Warned]:
    for rule in RULES:
        yield from rule(call, state)
