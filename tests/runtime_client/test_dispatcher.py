"""From a submission to its final event: lanes, failures, and an end for everything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tether_runtime_client.dispatcher import Context, Dispatcher, Tell
from tether_runtime_client.journal import Position
from tether_runtime_client.protocol.actions import (
    Action,
    CmdInputAction,
    CmdPollAction,
    CmdRunAction,
    ExecAction,
    SessionResetAction,
)
from tether_runtime_client.protocol.errors import (
    ActionCancelled,
    CommandNotFound,
    DiskFull,
    NotCancellable,
    UnsupportedAction,
)
from tether_runtime_client.protocol.events import ActionAccepted, Event, SessionWarning
from tether_runtime_client.protocol.frames import EventFrame, decode_from_client
from tether_runtime_client.protocol.observations import (
    DoneObservation,
    ErrorObservation,
    Observation,
)
from tether_runtime_client.recorder import Recorder


class Stage:
    """A dispatcher with handlers that do as they are told, and the events it made."""

    def __init__(self, folder: Path) -> None:
        self.recorder = Recorder(folder)
        self.recorder.follow(self)
        self.dispatcher = Dispatcher(self.recorder)
        self.events: list[Event] = []
        self.log: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.dispatcher.register(CmdRunAction, self.run, lane=lambda action: action.session)
        self.dispatcher.register(ExecAction, self.run_at_once)

    def on_frame(self, frame: bytes, before: Position, *, lazy: bool) -> None:
        read = decode_from_client(frame)
        event = read.event if isinstance(read, EventFrame) else read.observation  # type: ignore[union-attr]
        self.events.append(event)

    def on_set_back(self) -> None:
        raise AssertionError

    async def run(self, action: CmdRunAction, context: Context) -> Observation:
        return await self.run_at_once(action, context)

    async def run_at_once(self, action: Action, context: Context) -> Observation:
        self.log.append(f"+{context.action_id}")
        await self.gates.setdefault(context.action_id, asyncio.Event()).wait()
        self.log.append(f"-{context.action_id}")
        return DoneObservation()

    def command(self, action_id: str, session: str = "default") -> None:
        self.dispatcher.submit(action_id, CmdRunAction(command="x", session=session))

    def let(self, action_id: str) -> None:
        self.gates.setdefault(action_id, asyncio.Event()).set()

    async def settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    def end_of(self, action_id: str) -> Observation:
        (end,) = [e for e in self.events if isinstance(e, Observation) and e.action_id == action_id]
        return end


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    made = Stage(tmp_path)
    yield made
    await made.dispatcher.close()
    made.recorder.journal.close()


# --- order -------------------------------------------------------------------------------------


async def test_one_lane_runs_in_order_and_lanes_run_side_by_side(stage: Stage) -> None:
    for action_id in ("a1", "a2", "a3"):
        stage.command(action_id, "a")
    stage.command("b1", "b")
    await stage.settle()
    assert stage.log == ["+a1", "+b1"]
    stage.let("a2")
    stage.let("b1")
    await stage.settle()
    assert stage.log == ["+a1", "+b1", "-b1"]
    stage.let("a1")
    await stage.settle()
    assert stage.log[3:] == ["-a1", "+a2", "-a2", "+a3"]
    stage.let("a3")
    await stage.settle()
    assert stage.dispatcher._lanes == {}
    assert stage.dispatcher._tasks == set()


async def test_without_a_lane_nothing_waits(stage: Stage) -> None:
    stage.command("a1")
    for number in range(5):
        stage.dispatcher.submit(f"e{number}", ExecAction(command="x"))
    await stage.settle()
    assert len(stage.log) == 6


async def test_a_failure_does_not_stop_its_lane(stage: Stage) -> None:
    stage.dispatcher.register(SessionResetAction, fail, lane=lambda action: action.session)
    stage.dispatcher.submit("bad", SessionResetAction())
    stage.command("good")
    stage.let("good")
    await stage.settle()
    assert isinstance(stage.end_of("bad"), ErrorObservation)
    assert isinstance(stage.end_of("good"), DoneObservation)


async def fail(action: Action, context: Context) -> Observation:
    raise ZeroDivisionError("by mistake")


async def test_acceptance_is_told_before_anything_of_the_action(stage: Stage) -> None:
    async def tell(action: Action, context: Context) -> Observation:
        context.emit(SessionWarning(action_id=context.action_id, session="s", message="m"))
        return DoneObservation()

    stage.dispatcher.register(CmdPollAction, tell)
    stage.dispatcher.submit("a", CmdPollAction())
    await stage.settle()
    assert [type(event) for event in stage.events] == [
        ActionAccepted,
        SessionWarning,
        DoneObservation,
    ]
    assert {event.action_id for event in stage.events} == {"a"}


# --- cancelling --------------------------------------------------------------------------------


async def test_what_can_be_cancelled_ends_with_that(stage: Stage) -> None:
    stage.dispatcher.register(CmdPollAction, stage.run_at_once, cancellable=True)
    stage.dispatcher.submit("a", CmdPollAction())
    stage.dispatcher.submit("b", CmdPollAction())
    await stage.settle()
    stage.dispatcher.cancel("a")
    await stage.settle()
    end = stage.end_of("a")
    assert isinstance(end, ErrorObservation)
    assert (end.code, end.message) == ("action_cancelled", "it was cancelled")
    stage.let("b")
    await stage.settle()
    assert isinstance(stage.end_of("b"), DoneObservation)
    assert stage.dispatcher._cancellable == {}


async def test_nothing_else_can_be_cancelled(stage: Stage) -> None:
    stage.dispatcher.register(CmdPollAction, stage.run_at_once, cancellable=True)
    stage.dispatcher.submit("over", CmdPollAction())
    stage.let("over")
    stage.command("command")
    await stage.settle()
    for action_id in ("over", "command", "unknown"):
        with pytest.raises(NotCancellable):
            stage.dispatcher.cancel(action_id)
    stage.let("command")
    await stage.settle()
    assert isinstance(stage.end_of("command"), DoneObservation)


# --- starting at once --------------------------------------------------------------------------


async def test_an_action_may_begin_in_the_call_that_accepts_it(stage: Stage) -> None:
    told: dict[str, Tell] = {}

    def begin(action: Action, context: Context, tell: Tell) -> bool:
        if isinstance(action, CmdInputAction) and action.text == "later":
            return False
        told[context.action_id] = tell
        return True

    stage.dispatcher.register(
        CmdInputAction, stage.run_at_once, lane=lambda action: action.session, begin=begin
    )
    stage.dispatcher.submit("now", CmdInputAction(text="x"))
    assert list(told) == ["now"]
    stage.dispatcher.submit("behind", CmdInputAction(text="x"))
    stage.dispatcher.submit("other", CmdInputAction(text="later", session="o"))
    await stage.settle()
    assert stage.log == ["+other"]
    told["now"](DoneObservation())
    assert isinstance(stage.end_of("now"), DoneObservation)
    for action_id in ("behind", "other"):
        stage.let(action_id)
    await stage.settle()
    assert stage.log[1:] == ["-other", "+behind", "-behind"]
    told["now"](ValueError("a second word does not count"))
    assert isinstance(stage.end_of("now"), DoneObservation)
    assert stage.dispatcher._lanes == {}
    assert stage.dispatcher._begun == {}


async def test_a_beginning_that_fails_ends_its_action(stage: Stage) -> None:
    def begin(action: Action, context: Context, tell: Tell) -> bool:
        raise CommandNotFound("no such program") if context.action_id == "a" else KeyError("b")

    stage.dispatcher.register(CmdPollAction, fail, begin=begin)
    stage.dispatcher.submit("a", CmdPollAction())
    stage.dispatcher.submit("b", CmdPollAction())
    first, second = stage.end_of("a"), stage.end_of("b")
    assert isinstance(first, ErrorObservation)
    assert isinstance(second, ErrorObservation)
    assert (first.code, second.code) == ("command_not_found", "internal_error")


async def test_what_was_begun_ends_when_the_client_stops(stage: Stage) -> None:
    told: list[Tell] = []
    stage.dispatcher.register(
        CmdPollAction, fail, begin=lambda action, context, tell: not told.append(tell)
    )
    stage.dispatcher.submit("a", CmdPollAction())
    await stage.dispatcher.close()
    end = stage.end_of("a")
    assert isinstance(end, ErrorObservation)
    assert end.code == "action_cancelled"
    told[0](DoneObservation())
    assert stage.end_of("a") is end


# --- failures ----------------------------------------------------------------------------------


async def test_a_known_error_is_told_as_it_is(stage: Stage) -> None:
    async def raise_it(action: Action, context: Context) -> Observation:
        raise CommandNotFound("no such program", hint="Install it", path="/x")

    stage.dispatcher.register(CmdPollAction, raise_it)
    stage.dispatcher.submit("a", CmdPollAction())
    await stage.settle()
    error = stage.end_of("a")
    assert isinstance(error, ErrorObservation)
    assert (error.code, error.message) == ("command_not_found", "no such program")
    assert (error.hint, error.data) == ("Install it", {"path": "/x"})


async def test_a_defect_is_told_and_logged(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.dispatcher.register(CmdPollAction, fail)
    stage.dispatcher.submit("a", CmdPollAction())
    await stage.settle()
    error = stage.end_of("a")
    assert isinstance(error, ErrorObservation)
    assert error.code == "internal_error"
    assert "ZeroDivisionError: by mistake" in error.message
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("answer", [None, "done", 7, ActionAccepted(kind="x")])
async def test_a_handler_that_answers_nonsense_has_a_defect(stage: Stage, answer: Any) -> None:
    async def nonsense(action: Action, context: Context) -> Any:
        return answer

    stage.dispatcher.register(CmdPollAction, nonsense)
    stage.dispatcher.submit("a", CmdPollAction())
    await stage.settle()
    error = stage.end_of("a")
    assert isinstance(error, ErrorObservation)
    assert "no observation" in error.message


# --- what is not accepted ----------------------------------------------------------------------


async def test_an_action_nobody_handles_leaves_no_trace(stage: Stage) -> None:
    with pytest.raises(UnsupportedAction, match="'poll'"):
        stage.dispatcher.submit("a", CmdPollAction())
    assert stage.events == []
    assert not stage.recorder.knows("a")


async def test_a_second_handler_is_refused(stage: Stage) -> None:
    with pytest.raises(ValueError, match="CmdRunAction has a handler already"):
        stage.dispatcher.register(CmdRunAction, fail)


async def test_an_id_runs_once_whatever_is_asked_under_it(stage: Stage) -> None:
    stage.command("a")
    stage.command("a")
    stage.dispatcher.submit("a", CmdPollAction())
    stage.let("a")
    await stage.settle()
    stage.command("a")
    await stage.settle()
    assert stage.log == ["+a", "-a"]
    assert len(stage.events) == 2


async def test_a_lane_that_cannot_be_told_accepts_nothing(stage: Stage) -> None:
    def lane(action: CmdPollAction) -> str:
        raise KeyError("no lane")

    stage.dispatcher.register(CmdPollAction, fail, lane=lane)
    with pytest.raises(KeyError):
        stage.dispatcher.submit("a", CmdPollAction())
    assert not stage.recorder.knows("a")


async def test_a_full_disk_starts_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(action_id: str, action: Action) -> str:
        raise DiskFull("full")

    monkeypatch.setattr(stage.recorder, "accept", full)
    with pytest.raises(DiskFull):
        stage.command("a")
    await stage.settle()
    assert stage.log == []


# --- stopping ----------------------------------------------------------------------------------


async def test_at_the_end_everything_is_cancelled_and_told(stage: Stage) -> None:
    stage.command("running")
    await stage.settle()
    stage.command("waiting")
    stage.dispatcher.submit("just accepted", ExecAction(command="x"))
    await stage.dispatcher.close()
    for action_id in ("running", "waiting", "just accepted"):
        error = stage.end_of(action_id)
        assert isinstance(error, ErrorObservation)
        assert error.code == "action_cancelled"
    await stage.dispatcher.close()


async def test_a_handler_may_clean_up_when_it_is_cancelled(stage: Stage) -> None:
    async def careful(action: Action, context: Context) -> Observation:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            stage.log.append("cleaned up")
        return DoneObservation()

    stage.dispatcher.register(CmdPollAction, careful)
    stage.dispatcher.submit("a", CmdPollAction())
    await stage.settle()
    await stage.dispatcher.close()
    assert stage.log == ["cleaned up"]


async def test_nothing_new_is_started_while_it_stops(stage: Stage) -> None:
    stage.command("running")
    await stage.settle()
    await stage.dispatcher.close()
    with pytest.raises(ActionCancelled, match="not started"):
        stage.command("late")
    stage.command("running")
    assert not stage.recorder.knows("late")
