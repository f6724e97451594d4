"""One event connection over a real socket: replay, pressure, roles, silence, and hostile peers."""

from __future__ import annotations

import asyncio
import json
import resource
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tether_runtime_client import control as control_module
from tether_runtime_client import event_connection as module
from tether_runtime_client.protocol.actions import CmdPollAction, CmdRunAction, ExecAction
from tether_runtime_client.protocol.errors import (
    ControllerBusy,
    Fenced,
    MalformedFrame,
    ProtocolError,
    Unauthorized,
)
from tether_runtime_client.protocol.events import (
    ActionAccepted,
    ClientStarted,
    CmdOutputDelta,
    HistoryGap,
)
from tether_runtime_client.protocol.frames import StoredEvent, digest
from tether_runtime_client.protocol.observations import DoneObservation

from .client_stack import Peer, Stack, attached, eventually, output, running

WAIT = ExecAction(command="x")


def work(total: int, size: int) -> CmdRunAction:
    return CmdRunAction(command=f"{total} {size}")


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    async with running(tmp_path) as made:
        yield made


# --- the straight path -------------------------------------------------------------------------


async def test_attach_submit_observe_acknowledge(stack: Stack) -> None:
    peer = await attached(stack)
    assert peer.welcome.fence == 1
    assert peer.welcome.epoch == stack.recorder.epoch
    assert peer.welcome.running == ()
    peer.submit("a", work(30, 10))
    await peer.until_ended("a")
    assert [type(event) for event in peer.events] == [
        ClientStarted,
        ActionAccepted,
        *[CmdOutputDelta] * 3,
        DoneObservation,
    ]
    assert peer.numbers == [1, 2, 3, 4, 5, 6]
    peer.acknowledge()
    peer.submit("b", work(0, 1))
    await peer.until_ended("b")
    assert stack.recorder.ledger.acknowledged == 6
    await peer.cut()


async def test_an_unknown_action_is_rejected_and_the_connection_lives(stack: Stack) -> None:
    peer = await attached(stack)
    peer.submit("a", CmdPollAction())
    peer.channel.send_text(b'{"type":"submit","id":"b","action":{"action":"fly"}}')
    await peer.until(lambda: len(peer.rejected) == 2)
    assert [(r.id, r.code) for r in peer.rejected] == [
        ("a", "unsupported_action"),
        ("b", "invalid_action"),
    ]
    peer.submit("c", work(0, 1))
    await peer.until_ended("c")


# --- resume ------------------------------------------------------------------------------------


async def test_a_cut_loses_nothing_and_runs_nothing_twice(stack: Stack) -> None:
    stack.gate.clear()
    first = await attached(stack)
    first.submit("a", WAIT)
    await first.until(lambda: 2 in first.numbers)
    await first.cut()
    stack.gate.set()
    have = {stack.recorder.epoch: first.numbers[-1]}
    second = await attached(stack, Peer(have))
    second.submit("a", WAIT)
    await second.until_ended("a")
    assert second.numbers == [3]
    assert stack.ran == ["a"]
    assert second.gaps == []


async def test_the_welcome_tells_what_runs(stack: Stack) -> None:
    stack.gate.clear()
    first = await attached(stack)
    first.submit("a", WAIT)
    first.submit("b", WAIT)
    await first.until(lambda: 3 in first.numbers)
    await first.cut()
    second = await attached(stack)
    assert second.welcome.running == ("a", "b")


async def test_a_server_without_history_is_told_what_is_gone(stack: Stack) -> None:
    first = await attached(stack)
    first.submit("a", work(0, 1))
    await first.until_ended("a")
    first.acknowledge()
    await eventually(lambda: stack.recorder.ledger.acknowledged == 3)
    await first.cut()
    second = await attached(stack)
    (gap,) = second.gaps
    assert (gap.first, gap.last) == (1, 3)


async def test_an_earlier_life_is_replayed_before_this_one(tmp_path: Path) -> None:
    async with running(tmp_path) as first:
        peer = await attached(first)
        first.gate.clear()
        peer.submit("done", work(50, 10))
        peer.submit("lost", WAIT)
        await peer.until_ended("done")
        await peer.cut()
        epoch = first.recorder.epoch
        first.recorder.journal.close()
    async with running(tmp_path) as second:
        peer = await attached(second, Peer({epoch: 4}))
        await peer.until(lambda: peer.rules.caught_up)
        epochs = [frame.epoch for frame in peer.frames]
        assert epochs == sorted(epochs, key=[epoch, second.recorder.epoch].index)
        assert peer.numbers[:3] == [5, 6, 7]
        peer.acknowledge(peer.numbers[epochs.count(epoch) - 1], epoch)
        peer.submit("a", work(0, 1))
        await peer.until_ended("a")
        await peer.cut()
        third = await attached(second, Peer({second.recorder.epoch: 1}))
        assert [span.epoch for span in third.welcome.epochs] == [second.recorder.epoch]


@pytest.mark.parametrize("how", ["the number", "the content"])
async def test_a_sandbox_that_was_set_back_says_so(stack: Stack, how: str) -> None:
    first = await attached(stack)
    first.submit("a", work(0, 1))
    await first.until_ended("a")
    operator = await attached(stack, Peer(role="operator"))
    await first.cut()
    epoch = stack.recorder.epoch
    if how == "the number":
        peer = Peer({epoch: 50})
    else:
        sha256 = digest(b"what it was told before")
        peer = Peer({epoch: 3}, newest=StoredEvent(epoch=epoch, seq=3, sha256=sha256))
    await attached(stack, peer)
    assert peer.welcome.epoch != epoch
    await peer.until(lambda: len(peer.frames) == 4)
    gap, *again = peer.events
    assert isinstance(gap, HistoryGap)
    assert gap.epoch == epoch
    assert [type(event) for event in again] == [ClientStarted, ActionAccepted, DoneObservation]
    error = await operator.until_closed()
    assert isinstance(error, ProtocolError)
    assert "set back" in error.message


async def test_an_operator_that_claims_to_know_more_changes_nothing(stack: Stack) -> None:
    epoch = stack.recorder.epoch
    peer = await attached(stack, Peer({epoch: 50}, role="operator"))
    assert peer.welcome.epoch == epoch
    assert "set back" in peer.gaps[0].reason
    stack.recorder.emit(output("a", 0, 1))
    await peer.until(lambda: 2 in peer.numbers)


# --- pressure ----------------------------------------------------------------------------------


def memory() -> int:
    """Bytes this process has in memory at this moment."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


async def test_a_slow_reader_costs_disk_and_not_memory(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tether_runtime_client.backlog.UNACKNOWLEDGED_LIMIT", 1 << 30)
    peer = await attached(stack)
    await peer.until(lambda: peer.frames)
    peer.channel.pause_reading()
    before = memory()
    total = 100 * 1024 * 1024
    peer.submit("a", work(total, 128 * 1024))
    await eventually(lambda: stack.recorder.ledger.verdict("a") == "ended")
    assert memory() - before < 30 * 1024 * 1024
    count = size = 0

    def take(frame: object) -> None:
        """Instead of keeping them all."""
        nonlocal count, size
        count += 1
        event = getattr(frame, "event", None)
        if isinstance(event, CmdOutputDelta):
            assert event.offset == size
            size += event.length

    peer.frames = Sink(take)  # type: ignore[assignment]
    peer.raw = Sink(lambda text: None)  # type: ignore[assignment]
    peer.channel.resume_reading()
    await peer.until(lambda: size == total)
    assert memory() - before < 60 * 1024 * 1024
    await peer.until(lambda: count == total // (128 * 1024) + 2)


class Sink(list[object]):
    """Hands on what is appended and keeps nothing."""

    def __init__(self, take: object) -> None:
        super().__init__()
        self.take = take

    def append(self, item: object) -> None:
        assert callable(self.take)
        self.take(item)


async def test_a_reader_catches_up_and_then_follows(stack: Stack) -> None:
    peer = await attached(stack)
    peer.channel.pause_reading()
    peer.submit("a", work(8 * 1024 * 1024, 64 * 1024))
    await eventually(lambda: stack.recorder.ledger.verdict("a") == "ended")
    peer.channel.resume_reading()
    await peer.until_ended("a")
    peer.submit("b", work(100, 10))
    await peer.until_ended("b")
    assert peer.numbers == list(range(1, len(peer.numbers) + 1))


async def test_others_are_served_while_one_catches_up(stack: Stack) -> None:
    for number in range(300):
        stack.recorder.emit(output("a", number, 64 * 1024))
    slow = await attached(stack, Peer(role="operator"))
    quick = await attached(stack, Peer({stack.recorder.epoch: 301}))
    quick.submit("b", work(0, 1))
    await quick.until_ended("b")
    await slow.until_ended("b")
    assert slow.numbers == list(range(1, 304))


async def test_events_during_the_replay_come_behind_it(stack: Stack) -> None:
    for number in range(100):
        stack.recorder.emit(output("a", number, 64 * 1024))
    peer = Peer()
    await peer.connect(stack)
    await eventually(lambda: bool(stack.recorder._followers))
    for number in range(100, 150):
        stack.recorder.emit(output("a", number, 10))
    await peer.until(lambda: len(peer.frames) == 151)
    assert peer.numbers == list(range(1, 152))


async def test_an_operator_that_fell_behind_is_told_and_not_led_on(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tether_runtime_client.journal.SEGMENT_SIZE", 1 << 20)
    controller = await attached(stack)
    operator = await attached(stack, Peer(role="operator"))
    operator.channel.pause_reading()
    controller.submit("a", work(16 << 20, 64 << 10))
    await controller.until_ended("a")
    controller.acknowledge()
    controller.submit("b", work(0, 1))
    await controller.until_ended("b")
    operator.channel.resume_reading()
    error = await operator.until_closed()
    assert error is not None
    assert "fell behind" in error.message
    assert operator.numbers == list(range(1, len(operator.numbers) + 1))
    again = await attached(
        stack, Peer({stack.recorder.epoch: operator.numbers[-1]}, role="operator")
    )
    assert again.gaps[0].first == operator.numbers[-1] + 1


# --- roles -------------------------------------------------------------------------------------


async def test_a_second_controller_is_refused_while_the_first_answers(stack: Stack) -> None:
    first = await attached(stack)
    second = Peer()
    await second.connect(stack)
    assert isinstance(await second.until_closed(), ControllerBusy)
    first.submit("a", work(0, 1))
    await first.until_ended("a")


async def test_a_controller_that_only_talks_does_not_answer(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies in the socket's buffer may be of a server that died long ago."""
    monkeypatch.setattr(control_module, "PROBE_TIMEOUT_S", 0.3)
    first = await attached(stack)
    first.channel.pause_reading()
    second = Peer()
    await second.connect(stack)
    for number in range(10):
        first.submit(f"a{number}", work(0, 1))
        await asyncio.sleep(0.01)
    await second.until_attached()
    assert second.welcome.fence == 2
    first.channel.resume_reading()
    assert isinstance(await first.until_closed(), Fenced)


async def test_a_takeover(stack: Stack) -> None:
    first = await attached(stack)
    operator = await attached(stack, Peer(role="operator"))
    second = await attached(stack, Peer(takeover=True))
    assert second.welcome.fence == 2
    assert isinstance(await first.until_closed(), Fenced)
    first.submit("late", work(0, 1))
    operator.submit("a", work(0, 1))
    await second.until_ended("a")
    await operator.until_ended("a")
    assert stack.ran == ["a"]


async def test_a_fenced_server_that_does_not_go_holds_nothing(stack: Stack) -> None:
    """It keeps its end open and reads nothing; its acknowledgements count no more."""
    first = await attached(stack)
    await first.until(lambda: first.frames)
    first.channel.pause_reading()
    await attached(stack, Peer(takeover=True))
    first.acknowledge()
    await asyncio.sleep(0.05)
    assert stack.recorder.ledger.acknowledged == 0
    assert len(stack.recorder._followers) == 1


async def test_a_contender_that_breaks_the_rules_is_not_installed(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the controller is probed it sends garbage; the controller stays."""
    monkeypatch.setattr(control_module, "PROBE_TIMEOUT_S", 0.2)
    first = await attached(stack)
    first.channel.pause_reading()
    second = Peer()
    await second.connect(stack)
    await eventually(lambda: stack.control._contender is not None)
    second.channel.send_text(b"garbage")
    assert isinstance(await second.until_closed(), MalformedFrame)
    await asyncio.sleep(0.3)
    assert stack.control._controller is stack.connections[0]
    first.channel.resume_reading()
    first.submit("a", work(0, 1))
    await first.until_ended("a")


# --- the clock ---------------------------------------------------------------------------------


async def test_a_peer_that_does_not_attach_is_dropped(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HANDSHAKE_TIMEOUT_S", 0.1)
    peer = Peer(first=b"nothing")
    await peer.connect(stack)
    error = await peer.until_closed()
    assert isinstance(error, ProtocolError)
    assert "not attached within" in error.message


async def test_a_server_that_is_silent_for_too_long_is_gone(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing tells a client that a machine at the other end lost its power."""
    monkeypatch.setattr(module, "SILENCE_LIMIT_S", 0.3)
    peer = await attached(stack)
    for _ in range(4):
        await asyncio.sleep(0.15)
        peer.channel.ping()
    assert peer.closed is None
    await asyncio.wait_for(peer.channel.closed, 5)
    assert stack.control._controller is None
    assert "silent" in (stack.connections[0]._channel or peer.channel)._close_reason


async def test_the_lease_runs_when_the_last_peer_went(tmp_path: Path) -> None:
    async with running(tmp_path, lease_s=0.2) as stack:
        peer = await attached(stack)
        await asyncio.sleep(0.3)
        assert not stack.abandoned.is_set()
        await peer.cut()
        await asyncio.wait_for(stack.abandoned.wait(), 5)


# --- hostile peers -----------------------------------------------------------------------------


async def test_a_wrong_secret_is_refused_by_either_side(stack: Stack) -> None:
    peer = Peer(secret="0" * 64)
    await peer.connect(stack)
    await peer.until(lambda: peer.error is not None)
    assert isinstance(peer.error, Unauthorized)
    assert "its proof is wrong" in peer.error.message
    await peer.cut()


GARBAGE = [b"", b"x", b"[]", b'{"type":"attach"}', b'{"type":"hello"}', b"[" * 90_000]


@pytest.mark.parametrize("text", GARBAGE)
@pytest.mark.parametrize("when", ["before", "after"])
async def test_garbage_ends_its_connection_and_nothing_else(
    stack: Stack, text: bytes, when: str
) -> None:
    good = await attached(stack, Peer(role="operator"))
    bad = Peer(first=text if when == "before" else None)
    await bad.connect(stack)
    if when == "after":
        await bad.until_attached()
        bad.channel.send_text(text)
    await bad.until_closed()
    assert bad.closed in {"malformed_frame", "unexpected_frame"}
    good.submit("a", work(0, 1))
    await good.until_ended("a")


async def test_bytes_on_the_event_connection_end_it(stack: Stack) -> None:
    peer = await attached(stack)
    peer.channel.send_binary(b"x")
    peer.channel.send_binary(b"x")
    error = await peer.until_closed()
    assert error is not None
    assert "text messages only" in error.message


async def test_nothing_is_run_after_a_connection_was_refused(stack: Stack) -> None:
    peer = await attached(stack)
    peer.channel.send_text(b"garbage")
    peer.submit("a", work(0, 1))
    await peer.until_closed()
    await asyncio.sleep(0.05)
    assert stack.ran == []


async def test_a_flood_of_unusable_actions_costs_no_memory(stack: Stack) -> None:
    """The peer sends, and never reads what is wrong with it."""
    peer = await attached(stack)
    peer.channel.pause_reading()
    text = json.dumps({"type": "submit", "id": "x" * 128, "action": {"action": "x" * 300}}).encode()
    served = stack.connections[0]._channel
    assert served is not None
    transport = served._transport
    assert transport is not None
    for _ in range(200):
        for _ in range(200):
            peer.channel.send_text(text)
        await asyncio.sleep(0)
        if not transport.is_reading():
            break
    await asyncio.sleep(0.05)
    assert transport.get_write_buffer_size() < 8 * 1024 * 1024
