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

LONGEST = 16 * 1024
"""Characters of what was raised that are looked at."""

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_COMMAND = re.compile(r"^<launching>.*\n?", re.MULTILINE)
"""The browser's command line is longer than what went wrong."""

_CALL = re.compile(r"^(\w+\.\w+): ")
_LOG = re.compile(r"\n(?:Call log:\n|=+ logs =+\n)(.*?)(?:\n=+)?$", re.DOTALL)
_OF_EVALUATE = re.compile(r"\n +at [^\n]*(<anonymous>|UtilityScript)[^\n]*")
"""A script's lines are its own; these are of what runs it."""

_TRIES = re.compile(
    r"(retrying|attempting) .*|waiting \d+ms|waiting for element to be .*|element is visible.*"
    r"|scrolling into view.*|done scrolling|navigating to .*|fill\(.*"
)
"""What Playwright's log has of each of its tries, and what the message or the step says already."""


class StepProblem(Exception):
    """A step that cannot be done, for a reason of `BrowserStepFailed`."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def plain_message(problem: BaseException) -> str:
    """In words, without colours and without the name of the call."""
    text = _COMMAND.sub("", _COLOUR.sub("", str(problem))).strip() or type(problem).__name__
    return _CALL.sub("", text)


def in_words(problem: BaseException) -> str:
    """What went wrong, and once each what Playwright's log says of that."""
    text = plain_message(problem)[:LONGEST]  # a page's own words may be any, and of any length
    text = _OF_EVALUATE.sub("", text).removeprefix("Error: ")
    found = _LOG.search(text)
    if found is None:
        return text
    said = text[: found.start()].rstrip(".:\n ")
    lines = (re.sub(r"^[-\s]*(\d+ \S )?", "", line) for line in found[1].splitlines())
    told = dict.fromkeys(line for line in lines if line and not _TRIES.fullmatch(line))
    news = [line for line in told if line.removeprefix("waiting for ") not in said]
    return ": ".join(filter(None, (said, "; ".join(news))))


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
                return "timeout" if text.startswith("Timeout ") else "other"
            return reason
    return "script" if step == "evaluate" else "other"
