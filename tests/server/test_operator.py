"""Operators: beside a controller, disturbing nothing, and never running anything twice."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest

from tether_server import (
    ActionCancelled,
    ActionLost,
    CmdOutputDelta,
    CmdOutputObservation,
    CmdRunAction,
    Connected,
    EventStreamRuntime,
    ExecAction,
    SandboxGone,
    SandboxNotFound,
)
from tether_server.operator import OperatorRuntime
from tether_server.record import load_record


@pytest.fixture(autouse=True)
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where operators keep what they spool; empty at the end."""
    folder = tmp_path / "spool"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def name() -> str:
    return "shared"


def controller(name: str) -> EventStreamRuntime:
    return EventStreamRuntime(backend="local", name=name)


def is_empty(folder: Path) -> bool:
    return not any(folder.iterdir())


async def test_works_beside_the_controller(name: str, spool: Path) -> None:
    async with controller(name) as runtime:
        record = load_record(name)
        await runtime.run(CmdRunAction(command="export MINE=1"))
        async with OperatorRuntime.beside(name) as operator:
            theirs = await operator.run(CmdRunAction(command="echo $MINE", session="default"))
            assert theirs.content == "1\n"
            assert not is_empty(spool)
        ours = await runtime.run(CmdRunAction(command="echo on"))
        assert ours.content == "on\n"
        assert load_record(name) == record
    assert is_empty(spool)


async def test_sees_the_events_of_its_own_actions_only(name: str) -> None:
    async with controller(name) as runtime, OperatorRuntime.beside(name) as operator:
        await runtime.run(CmdRunAction(command="echo not mine"))
        *deltas, last = [e async for e in operator.stream(CmdRunAction(command="echo mine"))]
        assert [d.content for d in deltas if isinstance(d, CmdOutputDelta)] == ["mine\n"]
        assert isinstance(last, CmdOutputObservation)
        seen = [e.model_dump_json() for e in operator.events.since(0)]
        assert not any("not mine" in event for event in seen)
        async with asyncio.timeout(20):  # the controller may get them a moment later
            async for event in runtime.events.subscribe():
                if '"mine\\n"' in event.model_dump_json():
                    break


async def test_several_at_once(name: str) -> None:
    async with controller(name):

        async def one(number: int) -> str:
            async with OperatorRuntime.beside(name) as operator:
                return (await operator.exec(["echo", str(number)])).stdout.decode()

        assert await asyncio.gather(*map(one, range(5))) == [f"{n}\n" for n in range(5)]


async def test_a_kept_sandbox_has_its_events_for_the_next_controller(name: str) -> None:
    async with EventStreamRuntime(backend="local", name=name, keep=True):
        pass
    async with OperatorRuntime.beside(name) as operator:
        await operator.run(CmdRunAction(command="echo in between"))
    async with EventStreamRuntime.attach(name) as runtime:
        events = [e.model_dump_json() for e in runtime.events.since(0)]
        assert any("in between" in event for event in events)
        await runtime.close(keep=False)


async def test_there_is_none_without_a_sandbox() -> None:
    with pytest.raises(SandboxNotFound):
        OperatorRuntime.beside("nobody")
    with pytest.raises(SandboxNotFound):
        await OperatorRuntime(backend="local").start()


async def test_the_end_of_the_sandbox_is_told(name: str) -> None:
    runtime = controller(name)
    await runtime.start()
    async with OperatorRuntime.beside(name) as operator:
        waiting = asyncio.create_task(operator.run(CmdRunAction(command="sleep 1000")))
        await operator.run(CmdRunAction(command="true", session="other"))
        await runtime.close()
        with pytest.raises((SandboxGone, ActionCancelled)):
            await asyncio.wait_for(waiting, 30)


# --- outages


async def test_what_runs_during_an_outage_is_waited_for(name: str, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    async with controller(name), OperatorRuntime.beside(name) as operator:
        command = CmdRunAction(command=f"echo x >>{marks}; echo on; sleep 1; echo done")
        events = operator.stream(command)
        assert isinstance(await anext(events), CmdOutputDelta)
        operator.cut_connection()
        rest = [event async for event in events]
        connected = [e.outage_s for e in operator.events.since(0) if isinstance(e, Connected)]
        assert connected[0] == 0 < connected[1]
        assert isinstance(rest[-1], CmdOutputObservation)
        assert rest[-1].content.endswith("done\n")
        assert marks.read_text() == "x\n"


async def test_what_ended_and_was_acknowledged_during_an_outage_is_looked_up(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = tmp_path / "marks"
    async with controller(name) as runtime, OperatorRuntime.beside(name) as operator:
        assert operator._link is not None
        transport = operator._link.transport
        closed, connect = asyncio.Event(), transport.connect

        async def held_up() -> object:
            await closed.wait()
            return await connect()

        monkeypatch.setattr(transport, "connect", held_up)
        action = ExecAction(command=f"echo x >>{marks}; echo on; sleep 0.3")
        running = asyncio.create_task(operator.run(action, id="mine"))
        async for event in runtime.events.subscribe(action_id="mine"):
            if event.model_dump().get("event") == "exec_output":
                operator.cut_connection()
            if event.model_dump().get("observation") == "exec":
                break
        # The controller's next action is stored after this one's end was acknowledged.
        await runtime.exec(["true"])
        await asyncio.sleep(0.2)
        closed.set()
        observation = await asyncio.wait_for(running, 30)
        assert (observation.exit_code, observation.stdout) == (0, b"on\n")
        assert marks.read_text() == "x\n"


async def test_what_was_never_sent_is_sent_after_the_outage(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with controller(name), OperatorRuntime.beside(name) as operator:
        assert operator._link is not None
        monkeypatch.setattr(type(operator._link), "connected", False)
        monkeypatch.setattr(operator._link, "send_text", lambda _: None)
        running = asyncio.create_task(operator.exec(["echo", "late"]))
        await asyncio.sleep(0)
        monkeypatch.undo()
        operator.cut_connection()
        assert (await asyncio.wait_for(running, 30)).stdout == b"late\n"


async def test_what_may_or_may_not_have_arrived_is_lost(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with controller(name), OperatorRuntime.beside(name) as operator:
        assert operator._link is not None
        monkeypatch.setattr(operator._link, "send_text", lambda _: None)
        running = asyncio.create_task(operator.exec(["echo", "lost"]))
        await asyncio.sleep(0)
        monkeypatch.undo()
        operator.cut_connection()
        with pytest.raises(ActionLost, match="before the sandbox confirmed"):
            await asyncio.wait_for(running, 30)


def test_a_controller_without_a_history(tmp_path: Path) -> None:
    from tether_server.operator import _stored

    assert _stored(tmp_path) == {}
    assert not (tmp_path / "history.sqlite3").exists()
