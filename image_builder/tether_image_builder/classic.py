"""Builds with the engine's classic builder, which copies from images that it has."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .exchange import EngineRefusal, Line, exchanged
from .models import Phase, ProgressReport, Step
from .stream import StepProgress

if TYPE_CHECKING:
    import docker

KEPT_LINES = 25
REMOVAL_S = 30
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True)
class Order:
    """A build that is asked for.

    Attributes:
        context: the archive that the builder is given.
        tag: what the result is called.
        dockerfile: its path in the context.
        arguments: values for ARG instructions.
        labels: put on the result, after all else.
        platform: what the result runs on, None for what the engine runs on.
        no_cache: no step is taken from an earlier build.
        keep_steps: where the build does not come to its end, its finished steps stay for the next
            one; else what it made is removed.
    """

    context: bytes
    tag: str
    dockerfile: str = "Dockerfile"
    arguments: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    platform: str | None = None
    no_cache: bool = False
    keep_steps: bool = False

    def parameters(self) -> dict[str, Any]:
        """As the engine's address takes them."""
        return {
            "t": self.tag,
            "dockerfile": self.dockerfile,
            "buildargs": json.dumps(dict(self.arguments)),
            "labels": json.dumps(dict(self.labels)),
            "platform": self.platform,
            "nocache": self.no_cache,
            "rm": True,
            "forcerm": True,
        }


def build(
    api: docker.APIClient, order: Order, report: ProgressReport, *, phase: Phase
) -> tuple[Step, ...]:
    """Carries out an order; see `Engine.build`."""
    progress = StepProgress(phase, report)
    try:
        _follow(api, order, progress)
    except BaseException:  # an interruption too leaves nothing half-made
        progress.end()
        _wait_for_removal(api, progress.running)
        if not order.keep_steps:
            _discard(api, progress.steps)
        raise
    return tuple(progress.steps)


def _follow(api: docker.APIClient, order: Order, progress: StepProgress) -> None:
    log: deque[str] = deque(maxlen=KEPT_LINES)
    headers = {"Content-Type": "application/x-tar"}
    try:
        with exchanged(
            api, "/build", order.parameters(), headers=headers, body=order.context
        ) as lines:
            for line in lines:
                _take(line, log, progress)
        progress.end()
    except EngineRefusal as problem:
        raise EngineRefusal(problem.reason, log) from None


def _take(line: Line, log: deque[str], progress: StepProgress) -> None:
    if "error" in line:
        raise EngineRefusal(plain(str(line["error"])))
    for text in re.split(r"[\r\n]+", str(line.get("stream", ""))):
        shown = plain(text).rstrip()
        if shown:
            log.append(shown)
            progress.take(shown)


def plain(text: str) -> str:
    """Text without what would colour or steer a terminal."""
    return _CONTROL.sub("", text)


def _wait_for_removal(api: docker.APIClient, container: str | None) -> None:
    """Until the builder has ended the step that was at work: it still uses the last image."""
    import docker.errors
    import requests

    if container is None:
        return
    try:
        api.wait(container, timeout=REMOVAL_S, condition="removed")
    except (docker.errors.APIError, requests.RequestException):
        return  # it is gone, or so is the engine


def _discard(api: docker.APIClient, steps: list[Step]) -> None:
    """Removes what a build made before it ended; what others have a use for stays."""
    import docker.errors

    for step in reversed(steps):
        if step.reused or step.instruction.startswith("FROM ") or step.image_id is None:
            continue
        try:
            api.remove_image(step.image_id, noprune=True)
        except docker.errors.APIError as problem:
            if problem.status_code not in (404, 409):
                raise
