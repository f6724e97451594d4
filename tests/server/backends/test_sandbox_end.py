"""Exit codes and what the engine remembers are put into one cause."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tether_server.backends.sandbox_end import (
    container_ended,
    ended_with,
    moment,
    removed_container_ended,
    restarted_container_ended,
)

END = "2026-11-22T05:54:43.326774832Z"


class Engine:
    """Only what is asked of an engine here; the real one is asked in tests/behaviours."""

    def __init__(self, *events: tuple[str, float, str]) -> None:
        self.events_asked: list[dict[str, Any]] = []
        self._events = events

    def events(self, **asked: Any) -> Iterator[dict[str, Any]]:
        self.events_asked.append(asked)
        for action, before_end, code in self._events:
            at = int((moment(END) - before_end) * 1e9)
            yield {"Action": action, "timeNano": at, "Actor": {"Attributes": {"exitCode": code}}}


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (0, "stopped"),
        (143, "stopped"),
        (137, "killed"),
        (139, "killed"),
        (70, "failed"),
        (1, "failed"),
        (75, "lease_expired"),
        (None, "unknown"),
    ],
)
def test_the_cause_of_an_exit_code(code: int | None, cause: str) -> None:
    ended = ended_with("it", code)
    assert (ended.cause, ended.exit_code) == (cause, code)
    assert ended.reason.startswith("it ended")


@pytest.mark.parametrize(
    ("code", "before_end", "cause"),
    [
        (137, 0.1, "out_of_memory"),
        (137, 30.0, "killed"),  # a command's; then somebody killed the container
        (70, 30.0, "out_of_memory"),  # the client's, over and over
        (70, 300.0, "failed"),
        (0, 0.1, "stopped"),
    ],
)
def test_memory_that_had_run_out(code: int, before_end: float, cause: str) -> None:
    engine: Any = Engine(("oom", before_end, ""), ("die", 0.0, str(code)))
    state = {"ExitCode": code, "OOMKilled": True, "FinishedAt": END}
    assert container_ended(engine, "c", state).cause == cause
    removed = removed_container_ended(engine, "c", END)
    assert removed.cause == cause
    assert removed.reason.endswith("then the container was removed")


@pytest.mark.parametrize(
    ("after_end", "cause"),
    [(0.05, "stopped"), (-5.0, "killed")],  # the earlier one ended another life
)
def test_a_stop_that_had_to_kill(after_end: float, cause: str) -> None:
    engine: Any = Engine(("stop", -after_end, ""), ("die", 0.0, "137"))
    state = {"ExitCode": 137, "OOMKilled": False, "FinishedAt": END}
    assert container_ended(engine, "c", state).cause == cause
    again = restarted_container_ended(engine, "c", END)
    assert (again.cause, again.exit_code, again.stage) == (cause, 137, "restarted")


def test_an_engine_is_asked_for_nothing_needless() -> None:
    engine: Any = Engine()
    state = {"ExitCode": 139, "OOMKilled": False, "FinishedAt": END}
    assert container_ended(engine, "c", state).cause == "killed"
    assert engine.events_asked == []


def test_an_end_that_nobody_remembers() -> None:
    engine: Any = Engine()
    assert removed_container_ended(engine, "c", END).cause == "removed"
    assert removed_container_ended(engine, "c", "").cause == "removed"
