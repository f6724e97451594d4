"""What an engine says while it works, told on as progress."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from .models import BuildProgress, Phase, ProgressReport, Step

# How a line of a build stage's output begins that is told as it comes.
TOLD = "progress: "
_STEP = re.compile(r"Step (\d+)/(\d+) : (.*)")
_STEP_LENGTH = 60
_RESULT = re.compile(r" ---> ([0-9a-f]{12,64})")
_RUNNING = re.compile(r" ---> Running in ([0-9a-f]{12,64})")


class StepProgress:
    """Tells which step of a build is at work and the sizes that a recipe prints; keeps count.

    Attributes:
        steps: the steps that are done.
        running: the container that the current step runs in.
        is_silent: nothing more is told.
    """

    def __init__(self, phase: Phase, report: ProgressReport) -> None:
        self._phase: Phase = phase
        self._report = report
        self._instruction: str | None = None
        self._image_id: str | None = None
        self._reused = False
        self._began = 0.0
        self.steps: list[Step] = []
        self.running: str | None = None
        self.is_silent = False

    def take(self, line: str) -> None:
        """A line of a build's output."""
        if found := _STEP.fullmatch(line):
            self.end()
            self._begin(found[3])
            message = found[3] if len(found[3]) < _STEP_LENGTH else f"{found[3][:_STEP_LENGTH]}…"
            self._tell(message, int(found[1]), int(found[2]))
        elif line == " ---> Using cache":
            self._reused = True
        elif found := _RUNNING.fullmatch(line):
            self.running = found[1]
        elif found := _RESULT.fullmatch(line):
            self._image_id, self.running = found[1], None
        elif line.startswith("size of "):
            self._tell(line)
        elif line.startswith(TOLD):
            self._tell(line.removeprefix(TOLD))

    def _tell(self, message: str, current: int | None = None, total: int | None = None) -> None:
        if not self.is_silent:
            self._report(BuildProgress(self._phase, message, current, total))

    def _begin(self, instruction: str) -> None:
        self._instruction, self._image_id, self._reused = instruction, None, False
        self._began = time.monotonic()

    def end(self) -> None:
        """The build is over, well or not."""
        if self._instruction is not None and self._image_id is not None:
            seconds = time.monotonic() - self._began
            self.steps.append(Step(self._instruction, self._image_id, self._reused, seconds))
        self._instruction = None


class TransferProgress:
    """Adds up what has come or gone of an image's layers."""

    def __init__(self, message: str, phase: Phase, report: ProgressReport) -> None:
        self._message = message
        self._phase: Phase = phase
        self._report = report
        self._layers: dict[str, tuple[int, int]] = {}

    def take(self, line: Mapping[str, Any]) -> None:
        """A line of the engine's answer to a pull or a push."""
        status = str(line.get("status", ""))
        detail = line.get("progressDetail") or {}
        if status.startswith("Retrying in"):
            self._report(
                BuildProgress(self._phase, f"{self._message}: the registry fails, retrying")
            )
        if status not in ("Downloading", "Pushing") or not detail.get("total"):
            return
        current = min(detail["current"], detail["total"])  # a push counts its archive's frame too
        self._layers[str(line.get("id"))] = (current, detail["total"])
        done, total = (sum(numbers) for numbers in zip(*self._layers.values(), strict=True))
        self._report(BuildProgress(self._phase, self._message, done, total))
