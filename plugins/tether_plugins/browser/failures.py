"""What Playwright raises, as what an agent can do something about."""

from __future__ import annotations

import re

REASONS = (
    ("several", "strict mode violation"),
    ("crashed", "Target crashed|Page crashed"),
    ("network", "net::ERR_"),
    ("hidden", "not visible|not enabled|not stable|intercepts pointer|outside of the viewport"),
    ("not_found", "waiting for (locator|get_by|frame_locator)|did not find"),
    ("timeout", "Timeout .*exceeded|Timeout \\d"),
)
"""In this order: a time that is over says in its log what was waited for."""

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_COMMAND = re.compile(r"^<launching>.*\n?", re.MULTILINE)
"""The browser's command line is longer than what went wrong."""

_CALL = re.compile(r"^(\w+\.\w+): ")


class StepProblem(Exception):
    """A step that cannot be done, for a reason of `BrowserStepFailed`."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def plain_message(problem: BaseException) -> str:
    """In words, without colours and without the name of the call."""
    text = _COMMAND.sub("", _COLOUR.sub("", str(problem))).strip() or type(problem).__name__
    return _CALL.sub("", text)


def reason_of(problem: BaseException, step: str) -> str:
    """Why a step failed, by what was raised."""
    if isinstance(problem, StepProblem):
        return problem.reason
    if isinstance(problem, TimeoutError):
        return "timeout"
    text = plain_message(problem)
    for reason, pattern in REASONS:
        if re.search(pattern, text):
            if reason == "not_found" and "locator resolved to" in text:
                return "timeout"
            return reason
    return "script" if step == "evaluate" else "other"
