"""What an engine says while it works, told on as progress."""

from __future__ import annotations

import queue
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from .models import BuildProgress, Phase, ProgressReport

_STEP = re.compile(r"Step (\d+)/(\d+) : (.*)")
_STEP_LENGTH = 60


class StepProgress:
    """Tells which step of a build is at work, and the sizes that a recipe prints."""

    def __init__(self, phase: Phase, report: ProgressReport) -> None:
        self._phase: Phase = phase
        self._report = report

    def take(self, line: str) -> None:
        """A line of a build's output."""
        if found := _STEP.fullmatch(line):
            message = found[3] if len(found[3]) < _STEP_LENGTH else f"{found[3][:_STEP_LENGTH]}…"
            self._report(BuildProgress(self._phase, message, int(found[1]), int(found[2])))
        elif line.startswith("size of "):
            self._report(BuildProgress(self._phase, line))


class PullProgress:
    """Adds up what has come of an image's layers."""

    def __init__(self, name: str, phase: Phase, report: ProgressReport) -> None:
        self._name = name
        self._phase: Phase = phase
        self._report = report
        self._layers: dict[str, tuple[int, int]] = {}

    def take(self, line: Mapping[str, Any]) -> None:
        """A line of the engine's answer to a pull."""
        detail = line.get("progressDetail") or {}
        if line.get("status") != "Downloading" or not detail.get("total"):
            return
        self._layers[str(line.get("id"))] = (detail["current"], detail["total"])
        current, total = (sum(numbers) for numbers in zip(*self._layers.values(), strict=True))
        self._report(BuildProgress(self._phase, f"pulling {self._name}", current, total))


_END = object()


def with_silence_limit(start: Callable[[], Iterable[Any]], limit_s: float | None) -> Iterator[Any]:
    """Passes an engine's lines on, and gives up when none comes for so long.

    The SDK cannot limit the wait for a line, so a thread does the waiting; after a time-out it
    ends with the engine's answer, or with this process.

    Raises:
        TimeoutError: nothing came for `limit_s` seconds.
    """
    if limit_s is None:
        yield from start()
        return
    passed: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_pass_on, args=(start, passed), daemon=True).start()
    while True:
        try:
            line = passed.get(timeout=limit_s)
        except queue.Empty:
            raise TimeoutError(f"no answer for {limit_s:g} seconds") from None
        if line is _END:
            return
        if isinstance(line, BaseException):
            raise line
        yield line


def _pass_on(start: Callable[[], Iterable[Any]], passed: queue.SimpleQueue[Any]) -> None:
    try:
        for line in start():
            passed.put(line)
    except Exception as problem:  # raised again where the lines are read
        passed.put(problem)
    passed.put(_END)
