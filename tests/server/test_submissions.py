"""Between link and history: what was asked, what came, and what must never be asked again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tether_runtime_client.protocol.actions import Action, CmdRunAction
from tether_runtime_client.protocol.errors import (
    Fenced,
    FrameTooLarge,
    InvalidAction,
    RuntimeClosed,
    StateUnusable,
    TetherError,
)
from tether_runtime_client.protocol.events import (
    ActionAccepted,
    ActionSubmitted,
    Connected,
    ConnectionLost,
    Event,
    HistoryGap,
    SandboxStarted,
    SandboxStopped,
    SessionWarning,
)
from tether_runtime_client.protocol.frames import (
    EpochRange,
    EventFrame,
    ObservationFrame,
    RejectedFrame,
    SubmitFrame,
    WelcomeFrame,
    decode_from_client,
    decode_from_server,
    encode_numbered,
)
from tether_runtime_client.protocol.limits import MAX_FRAME
from tether_runtime_client.protocol.observations import (
    DoneObservation,
    ErrorObservation,
    Observation,
)
from tether_runtime_client.protocol.server_side import Gap
from tether_server import saving as module
from tether_server.event_stream import EventStream
from tether_server.history import History
from tether_server.link import Ended
from tether_server.submissions import Submissions

from ..runtime_client.full_disk import fill, small_disk

EPOCH, OTHER = "0123456789abcdef", "fedcba9876543210"
RUN = CmdRunAction(command="true")
STARTED = SandboxStarted(name="box", backend="local")


class Way:
    """A link that goes nowhere and remembers."""

    class transport:
        name = "fake"

    def __init__(self) -> None:
        self.connected = True
        self.sent: list[str] = []
        self.acknowledged: list[tuple[str, int]] = []
        self.cuts: list[str] = []

    def send_text(self, text: bytes) -> None:
        frame = decode_from_server(text)
        assert isinstance(frame, SubmitFrame)
        self.sent.append(frame.id)

    def acknowledge(self, epoch: str, seq: int) -> None:
        self.acknowledged.append((epoch, seq))

    def cut(self, reason: str = "") -> None:
        self.cuts.append(reason)


class Office:
    """Submissions on a real history, and the link as its other side."""

    def __init__(self, folder: Path) -> None:
        self.history = History(folder / "history.sqlite3")
        self.stream = EventStream(self.history)
        self.it = Submissions(self.history, self.stream)
        self.way = Way()
        self.it.bind(self.way, "because", STARTED)  # type: ignore[arg-type]
        self.seq = 0

    def connect(self, running: tuple[str, ...] = (), *gaps: Gap, caught_up: bool = True) -> None:
        for gap in gaps:
            self.it.on_gap(gap)
        span = EpochRange(epoch=EPOCH, first=1, last=self.seq)
        self.it.on_connected(
            WelcomeFrame(epoch=EPOCH, fence=1, epochs=(span,), running=running), 0.5
        )
        if caught_up:
            self.it.on_caught_up()

    def come(self, event: Event, seq: int | None = None) -> None:
        """An event from the client."""
        self.seq = self.seq + 1 if seq is None else seq
        raw = encode_numbered(EPOCH, self.seq, event)
        frame = decode_from_client(raw)
        assert isinstance(frame, EventFrame | ObservationFrame)
        self.it.on_frame(frame, raw)

    def submit(self, action_id: str | None, action: Action = RUN) -> asyncio.Future[Observation]:
        return self.it.submit(action, action_id).answer

    def reject(self, action_id: str) -> None:
        self.it.on_rejected(RejectedFrame(id=action_id, code="disk_full", message="full", hint="h"))

    @property
    def events(self) -> list[Event]:
        return list(self.history.since(0))

    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.events]

    def close(self) -> None:
        self.it.close()
        self.history.close()


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    made = Office(tmp_path)
    yield made
    made.close()


def gap(first: int, last: int) -> Gap:
    return Gap(EPOCH, first, last, "trimmed", last)


def error_of(answer: asyncio.Future[Observation]) -> str:
    observation = answer.result()
    assert isinstance(observation, ErrorObservation)
    return observation.code


# --- the straight path -------------------------------------------------------------------------


async def test_an_action_is_stored_sent_and_answered(office: Office) -> None:
    office.connect()
    answer = office.submit("a")
    assert office.way.sent == ["a"]
    office.come(ActionAccepted(action_id="a", kind="run"))
    assert not answer.done()
    office.come(DoneObservation(action_id="a"))
    assert answer.result() == DoneObservation(action_id="a", seq=5)
    assert office.kinds() == [
        "SandboxStarted",
        "Connected",
        "ActionSubmitted",
        "ActionAccepted",
        "DoneObservation",
    ]
    connected = office.events[1]
    assert isinstance(connected, Connected)
    assert (connected.transport, connected.reason, connected.outage_s) == ("fake", "because", 0.5)


@pytest.mark.parametrize("wrong", ["echo hi", {"action": "run", "command": "true"}, CmdRunAction])
async def test_what_is_no_action_is_refused(office: Office, wrong: Any) -> None:
    office.connect()
    with pytest.raises(InvalidAction, match="is no action"):
        office.submit("a", wrong)
    assert office.way.sent == []


async def test_an_id_is_made_where_none_is_given(office: Office) -> None:
    office.connect()
    first, second = office.it.submit(RUN, None), office.it.submit(RUN, None)
    assert first.action_id != second.action_id
    assert office.way.sent == [first.action_id, second.action_id]


async def test_any_number_may_wait_for_one_action(office: Office) -> None:
    office.connect()
    answers = [office.submit("a") for _ in range(3)]
    answers[1].cancel()
    office.come(DoneObservation(action_id="a"))
    assert answers[0].result() == answers[2].result()
    assert office.submit("a").result() == answers[0].result()
    assert office.way.sent == ["a"]
    assert office.kinds().count("ActionSubmitted") == 1


async def test_an_answer_nobody_waits_for_is_stored(office: Office) -> None:
    office.connect()
    office.come(DoneObservation(action_id="x"))
    office.come(DoneObservation())
    assert office.kinds()[-2:] == ["DoneObservation", "DoneObservation"]


async def test_lives_are_known_in_their_order_before_their_events_come(office: Office) -> None:
    """Or the last of them would be missed when the client has forgotten one before it."""
    spans = tuple(EpochRange(epoch=epoch, first=1, last=1) for epoch in (OTHER, EPOCH))
    office.it.on_connected(WelcomeFrame(epoch=EPOCH, fence=1, epochs=spans), 0.0)
    assert list(office.it.progress()) == [OTHER, EPOCH]


async def test_what_is_committed_is_acknowledged_and_nothing_before(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.connect()
    office.come(SessionWarning(session="s", message="m"))
    assert office.way.acknowledged == []
    office.it.save()
    assert office.way.acknowledged == [(EPOCH, 1)]
    office.it.save()
    assert office.way.acknowledged == [(EPOCH, 1)]
    office.come(SessionWarning(session="s", message="x" * module.SAVE_AFTER_BYTES))
    assert office.way.acknowledged[-1] == (EPOCH, 1), "whoever got an answer comes first"
    await asyncio.sleep(0)
    assert office.way.acknowledged[-1] == (EPOCH, 2), "much is saved in the loop's next turn"


async def test_a_little_is_saved_after_a_moment(office: Office) -> None:
    office.connect()
    office.come(SessionWarning(session="s", message="m"))
    async with asyncio.timeout(5):
        while not office.way.acknowledged:
            await asyncio.sleep(0.01)


async def test_what_could_not_be_acknowledged_is_later(office: Office) -> None:
    office.connect()
    office.come(SessionWarning(session="s", message="m"))
    office.way.connected = False
    office.it.save()
    assert office.way.acknowledged == []
    office.way.connected = True
    office.connect()
    office.it.save()
    assert office.way.acknowledged == [(EPOCH, 1)]


async def test_what_a_dead_server_stored_is_acknowledged_by_the_next(tmp_path: Path) -> None:
    """It was killed between its commit and the acknowledgement."""
    first = Office(tmp_path)
    first.connect()
    first.come(SessionWarning(session="s", message="m"))
    first.history.commit()
    second = Office(tmp_path)
    second.seq = 1
    second.connect()
    second.it.save()
    assert second.way.acknowledged == [(EPOCH, 1)]
    second.close()
    first.close()


# --- what is refused before it is stored -------------------------------------------------------


@pytest.mark.parametrize(
    ("action_id", "action", "kind"),
    [
        ("a", CmdRunAction(command="x" * MAX_FRAME), FrameTooLarge),
        ("a b", RUN, InvalidAction),
        ("x" * 129, RUN, InvalidAction),
        ("", RUN, InvalidAction),
        ("a\n", RUN, InvalidAction),
        ("é", RUN, InvalidAction),
        ("a", CmdRunAction.model_construct(action="run", command=7), InvalidAction),
        ("a", CmdRunAction.model_construct(action="fly"), InvalidAction),
        ("a", CmdRunAction(command="rm caf\udce9"), InvalidAction),
    ],
)
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
async def test_unusable_actions_leave_no_trace(
    office: Office, action_id: str, action: Action, kind: type[TetherError]
) -> None:
    office.connect()
    with pytest.raises(kind):
        office.submit(action_id, action)
    assert office.way.sent == []
    assert office.kinds() == ["SandboxStarted", "Connected"]


# --- rejections --------------------------------------------------------------------------------


async def test_a_rejection_ends_the_action_here(office: Office) -> None:
    office.connect()
    answer = office.submit("a")
    office.reject("a")
    assert error_of(answer) == "disk_full"
    assert error_of(office.submit("a")) == "disk_full"


async def test_nothing_else_can_be_rejected(office: Office) -> None:
    """A client may reject what it was asked for and has not accepted. The rest is invented."""
    office.connect()
    answer = office.submit("a")
    office.come(ActionAccepted(action_id="a", kind="run"))
    before = office.kinds()
    office.reject("a")
    office.reject("invented")
    assert office.kinds() == before
    office.come(DoneObservation(action_id="a"))
    office.reject("a")
    assert isinstance(answer.result(), DoneObservation)
    assert office.kinds() == [*before, "DoneObservation"]


# --- outages -----------------------------------------------------------------------------------


async def test_after_an_outage_only_what_cannot_have_run_is_sent_again(office: Office) -> None:
    office.connect()
    for action_id in ("lost on the way", "running", "ended meanwhile"):
        office.submit(action_id.replace(" ", "_"))
    office.come(ActionAccepted(action_id="running", kind="run"))
    office.come(ActionAccepted(action_id="ended_meanwhile", kind="run"))
    office.it.on_disconnected("cut")
    office.way.sent.clear()
    office.connect(("running",), caught_up=False)
    assert office.way.sent == ["lost_on_the_way"]
    office.come(DoneObservation(action_id="ended_meanwhile"))
    office.it.on_caught_up()
    assert set(office.it._frames) == {"lost_on_the_way", "running"}


async def test_what_was_accepted_and_is_known_to_nobody_is_lost_and_not_run_again(
    office: Office,
) -> None:
    """The sandbox was set back to before it had the action, or its journal was damaged."""
    office.connect()
    answer = office.submit("a")
    office.come(ActionAccepted(action_id="a", kind="run"))
    office.way.sent.clear()
    office.connect()
    assert office.way.sent == []
    assert error_of(answer) == "action_lost"


async def test_what_may_have_run_in_a_gap_is_lost_and_not_run_again(office: Office) -> None:
    """This history was restored from a copy: it knows the action, and not how it went."""
    office.connect()
    asked, running = office.submit("asked"), office.submit("running")
    office.way.sent.clear()
    office.connect(("running",), gap(1, 7))
    assert office.way.sent == []
    assert error_of(asked) == "action_lost"
    assert not running.done()
    told = next(event for event in office.events if isinstance(event, HistoryGap))
    assert (told.epoch, told.first, told.last, told.reason) == (EPOCH, 1, 7, "trimmed")
    assert office.it.progress() == {EPOCH: 7}
    office.come(DoneObservation(action_id="running"), seq=8)
    assert isinstance(running.result(), DoneObservation)


async def test_its_end_may_be_in_the_part_that_is_left(office: Office) -> None:
    office.connect()
    answer = office.submit("a")
    office.connect((), gap(1, 7), caught_up=False)
    office.come(DoneObservation(action_id="a"), seq=8)
    office.it.on_caught_up()
    assert isinstance(answer.result(), DoneObservation)


async def test_a_cut_before_the_replay_was_over_decides_nothing(office: Office) -> None:
    office.connect()
    answer = office.submit("a")
    office.come(ActionAccepted(action_id="a", kind="run"))
    office.connect(caught_up=False)
    office.it.on_disconnected("cut again")
    assert not answer.done()
    office.connect(("a",))
    assert not answer.done()


async def test_the_gap_is_told_behind_the_connection_that_showed_it(office: Office) -> None:
    office.connect((), gap(1, 3))
    assert office.kinds() == ["SandboxStarted", "Connected", "HistoryGap"]


async def test_what_is_replayed_twice_is_stored_once(office: Office) -> None:
    office.connect()
    for seq in (1, 2, 1, 2, 3):
        office.come(SessionWarning(session="s", message=str(seq)), seq=seq)
    assert office.kinds().count("SessionWarning") == 3


async def test_a_server_that_follows_takes_up_what_is_unfinished(tmp_path: Path) -> None:
    first = Office(tmp_path)
    first.connect()
    first.submit("asked")
    first.submit("accepted")
    first.come(ActionAccepted(action_id="accepted", kind="run"))
    first.history.commit()
    second = Office(tmp_path)
    second.seq = 1
    second.connect(("accepted",))
    assert second.way.sent == ["asked"]
    answers = [second.submit("asked"), second.submit("accepted")]
    second.come(DoneObservation(action_id="asked"))
    second.come(DoneObservation(action_id="accepted"))
    assert all(isinstance(answer.result(), DoneObservation) for answer in answers)
    assert second.kinds().count("ActionSubmitted") == 2
    second.close()
    first.close()


async def test_what_the_former_server_stored_meanwhile_is_no_gap(tmp_path: Path) -> None:
    """The one that takes over had asked for what came after event 0, and the client had let go of
    what the former one acknowledged while it asked.
    """
    first = Office(tmp_path)
    second = Office(tmp_path)
    first.connect()
    for number in range(5):
        first.come(SessionWarning(session="s", message=str(number)))
    first.it.save()
    second.seq = 5
    second.connect((), gap(1, 3))
    for seq in (4, 5, 6):
        second.come(SessionWarning(session="s", message=str(seq)), seq=seq)
    assert second.kinds().count("SessionWarning") == 6
    assert "HistoryGap" not in second.kinds()
    second.close()
    first.close()


# --- the end -----------------------------------------------------------------------------------


async def test_when_the_sandbox_is_gone_everybody_is_told(office: Office) -> None:
    office.connect()
    answer = office.submit("a")
    office.it.on_ended(Ended("killed", 137))
    office.it.on_ended(Ended("twice"))
    assert error_of(answer) == "sandbox_gone"
    assert error_of(office.submit("later")) == "sandbox_gone"
    stopped = next(event for event in office.events if isinstance(event, SandboxStopped))
    assert (stopped.reason, stopped.exit_code) == ("killed", 137)
    assert office.kinds().count("SandboxStopped") == 1
    assert [event.seq async for event in office.stream.subscribe()][-1] == office.stream.last_seq


async def test_a_server_that_was_fenced_off_ends_no_action(tmp_path: Path) -> None:
    """They run on, and are the other server's: nothing is written, and who waits is told so."""
    first = Office(tmp_path)
    first.connect()
    done = first.submit("done")
    first.come(DoneObservation(action_id="done"))
    answer = first.submit("a")
    first.history.commit()
    second = Office(tmp_path)
    second.seq = 1
    second.connect(("a",))
    first.it.on_ended(Ended("another server took over", fenced=True))
    assert isinstance(answer.exception(), Fenced)
    assert first.submit("done").result() == done.result()
    for action_id in ("a", "new"):
        with pytest.raises(Fenced):
            first.submit(action_id)
    assert not any(isinstance(event, SandboxStopped) for event in first.events)
    second.come(DoneObservation(action_id="a"))
    assert [event.seq for event in second.events] == list(range(1, len(second.events) + 1))
    second.close()
    first.close()


async def test_a_claim_by_another_is_noticed_when_saving(tmp_path: Path) -> None:
    first, second = Office(tmp_path), None
    first.connect()
    answer = first.submit("a")
    first.history.commit()
    second = Office(tmp_path)
    second.connect(("a",))
    first.come(SessionWarning(session="s", message="m"))
    first.it.save()
    assert isinstance(answer.exception(), Fenced)
    assert first.way.acknowledged == []
    assert first.it.ended is not None
    assert first.it.ended.fenced
    second.close()
    first.close()


async def test_a_sandbox_that_is_stopped_leaves_no_action_without_an_end(office: Office) -> None:
    office.connect()
    answer = office.submit("a")
    office.come(ActionAccepted(action_id="a", kind="run"))
    office.it.stopped()
    assert error_of(answer) == "runtime_closed"
    assert office.kinds()[-2:] == ["SandboxStopped", "ErrorObservation"]
    final = office.history.final("a")
    assert isinstance(final, ErrorObservation)


async def test_one_that_is_gone_is_not_stopped_once_more(office: Office) -> None:
    office.connect()
    office.it.on_ended(Ended("killed", 137))
    office.it.stopped()
    assert office.kinds().count("SandboxStopped") == 1


async def test_who_waits_when_the_runtime_closes_is_not_cancelled(office: Office) -> None:
    """A cancellation nobody asked for would look like the caller's own."""
    office.connect()
    answer = office.submit("a")
    waiting = asyncio.create_task(asyncio.wait_for(asyncio.shield(answer), 5))
    await asyncio.sleep(0)
    office.it.close()
    office.it.close()
    with pytest.raises(RuntimeClosed):
        await waiting


async def test_before_the_first_connection_nothing_is_written(tmp_path: Path) -> None:
    """A refused attach must not disturb the server that controls the sandbox."""
    first = Office(tmp_path)
    first.connect()
    refused = Office(tmp_path)
    refused.close()
    first.come(SessionWarning(session="s", message="m"))
    first.it.save()
    assert first.it.ended is None
    assert first.kinds() == ["SandboxStarted", "Connected", "SessionWarning"]
    first.close()


# --- a history that cannot be written ----------------------------------------------------------


async def test_a_full_disk_holds_the_link_off_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SAVE_RETRY_S", 0.05)
    with small_disk(tmp_path / "disk", 8) as disk:
        office = Office(disk)
        office.connect()
        await asyncio.wait_for(office.it.writable(), 1)
        filler = fill(disk)
        big = SessionWarning(session="s", message="x" * 1_000_000)
        while not office.way.cuts:
            office.come(big)
        told = office.seq
        assert 8 <= told <= 10
        assert office.way.cuts == ["the history cannot be written"]
        assert office.way.acknowledged == []
        office.it.on_disconnected("cut")
        waiting = asyncio.create_task(office.it.writable())
        await asyncio.sleep(0.2)
        assert not waiting.done()
        waiting.cancel()
        filler.unlink()
        office.close()


async def test_it_goes_on_as_soon_as_there_is_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SAVE_RETRY_S", 0.05)
    monkeypatch.setattr(module, "HOLD_BYTES", 2_000_000)
    with small_disk(tmp_path / "disk", 16) as disk:
        office = Office(disk)
        office.connect()
        filler = fill(disk)
        reading = asyncio.create_task(collect(office.stream))
        while not office.way.cuts:
            office.come(SessionWarning(session="s", message="x" * 500_000))
        office.come(DoneObservation(action_id="x"))
        filler.unlink()
        await asyncio.wait_for(office.it.writable(), 10)
        assert office.way.acknowledged == [(EPOCH, office.seq)]
        office.close()
        assert await reading == list(range(1, len(office.events) + 1))


async def collect(stream: EventStream) -> list[int]:
    return [event.seq async for event in stream.subscribe()]


async def test_an_action_that_cannot_be_made_safe_is_not_sent(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.connect()

    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(office.history, "store_action", full)
    with pytest.raises(StateUnusable, match="not sent: No space"):
        office.submit("a")
    assert office.way.sent == []
    assert office.it._frames == {}


async def test_lost_connections_are_told(office: Office) -> None:
    office.connect()
    office.it.on_disconnected("the cable")
    lost = office.events[-1]
    assert isinstance(lost, ConnectionLost)
    assert lost.reason == "the cable"
    assert not any(isinstance(event, ActionSubmitted) for event in office.events)
