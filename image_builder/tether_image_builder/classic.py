"""Builds with the engine's classic builder, which copies from images that it has."""

from __future__ import annotations

import json
import re
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, BinaryIO

from .exchange import EngineRefusal, Line, exchanged
from .models import Phase, ProgressReport, Step
from .stream import StepProgress

if TYPE_CHECKING:
    import docker

    from .stopping import Stop

KEPT_LINES = 25
LONGEST_LINE = 64 << 10
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

    context: bytes | BinaryIO
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
    api: docker.APIClient,
    order: Order,
    report: ProgressReport,
    *,
    phase: Phase,
    stop: Stop | None = None,
) -> tuple[Step, ...]:
    """Carries out an order; see `Engine.build`. `stop` interrupts it."""
    progress = StepProgress(phase, report)
    log: deque[str] = deque(maxlen=KEPT_LINES)
    texts = Texts()
    answer = _Answer(api, order)
    try:
        with answer.stopped_by(stop):
            for line in answer.lines():
                for text in (*texts.take(line), *(texts.rest() if "error" in line else ())):
                    log.append(text)
                    progress.take(text)
                if "error" in line:
                    raise EngineRefusal(plain(str(line["error"])), log)
        progress.end()
    except BaseException:  # an interruption too
        _end(api, answer, progress)
        if not order.keep_steps:
            _discard(api, progress.steps)
        raise
    return tuple(progress.steps)


class _Answer:
    """What the engine says to an order.

    A thread of its own reads it, so that an interruption breaks no line: only an engine that has
    said all is known to have ended.
    """

    def __init__(self, api: docker.APIClient, order: Order) -> None:
        self._api = api
        self._order = order
        self._passed: SimpleQueue[Line | Exception | None] = SimpleQueue()
        self._is_over = False
        threading.Thread(target=self._read, name="tether-build", daemon=True).start()

    def _read(self) -> None:
        headers = {"Content-Type": "application/x-tar"}
        parameters, body = self._order.parameters(), self._order.context
        try:
            with exchanged(self._api, "/build", parameters, headers=headers, body=body) as lines:
                for line in lines:
                    self._passed.put(line)
        except Exception as problem:  # raised again where the lines are read
            self._passed.put(problem)
        self._passed.put(None)

    def stopped_by(self, stop: Stop | None) -> AbstractContextManager[None]:
        """Within the block it ends the reading of lines."""
        return nullcontext() if stop is None else stop.wakes(self._passed)

    def lines(self) -> Iterator[Line]:
        """What was not read yet, to the end."""
        while not self._is_over:
            line = self._passed.get()
            if line is None:
                self._is_over = True
            elif isinstance(line, Exception):
                raise line
            else:
                yield line


def _end(api: docker.APIClient, answer: _Answer, progress: StepProgress) -> None:
    """Waits for the engine to end a build; a step that runs a program fails for want of it."""
    progress.is_silent = True
    removed = None
    texts = Texts()
    while True:
        if progress.running not in (None, removed):
            removed = progress.running
            _remove(api, str(removed))
        line = next(answer.lines(), None)
        if line is None:
            break
        for text in texts.take(line):
            progress.take(text)
    progress.end()


def _remove(api: docker.APIClient, container: str) -> None:
    """Whether it runs already or not yet."""
    import docker.errors

    try:
        api.remove_container(container, force=True, v=True)
    except docker.errors.APIError as problem:
        if problem.status_code not in (404, 409):  # it is gone, or going
            raise


class Texts:
    """The lines of a build's output: the engine passes on each piece that a program writes."""

    def __init__(self) -> None:
        self._piece = ""

    def take(self, line: Line) -> list[str]:
        """The lines that end with what comes now."""
        *whole, self._piece = re.split(r"[\r\n]+", self._piece + str(line.get("stream", "")))
        if len(self._piece) > LONGEST_LINE:
            whole.append(self._piece)
            self._piece = ""
        return [shown for text in whole if (shown := plain(text).rstrip())]

    def rest(self) -> list[str]:
        """What came last, without an end of its line."""
        return self.take({"stream": "\n"})


def plain(text: str) -> str:
    """Text without what would colour or steer a terminal."""
    return _CONTROL.sub("", text)


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
