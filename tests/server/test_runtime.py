"""The straight path, from an action to its observation, whatever happens to the connection."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tether_server import (
    ActionLost,
    ClientStarted,
    CmdInputAction,
    CmdOutputDelta,
    CmdOutputObservation,
    CmdPollAction,
    CmdRunAction,
    CommandEnded,
    CommandStillRunning,
    ConnectionLost,
    ControllerBusy,
    Event,
    EventStreamRuntime,
    Fenced,
    InvalidAction,
    InvalidCommand,
    NameTaken,
    NothingRunning,
    RuntimeClosed,
    SandboxNotFound,
    SandboxStopped,
    SessionResetAction,
)
from tether_server.record import list_records

from .conftest import MakeRuntime


def only(events: list[Event], kind: type[Event], action_id: str) -> list[Event]:
    return [e for e in events if isinstance(e, kind) and e.action_id == action_id]


def assert_gap_free(events: list[Event]) -> None:
    assert [event.seq for event in events] == list(range(1, len(events) + 1))


async def client_pid(runtime: EventStreamRuntime) -> int:
    started = [e for e in runtime.events.since(0) if isinstance(e, ClientStarted)]
    return started[-1].pid


async def kill_client(runtime: EventStreamRuntime) -> None:
    """From inside, as an agent could: the runtime client dies, the sandbox does not."""
    pid = await client_pid(runtime)
    await runtime.run(
        CmdRunAction(command=f"(sleep 1.5; kill -9 {pid}) >/dev/null 2>&1 &", session="killer")
    )


async def test_state_is_kept(make_runtime: MakeRuntime) -> None:
    async with make_runtime() as runtime:
        seen = await runtime.run(CmdRunAction(command="cd /srv && export X=1"))
        assert (seen.exit_code, seen.status, seen.cwd) == (0, "completed", "/srv")
        seen = await runtime.run(CmdRunAction(command='echo "$X $PWD"'))
        assert (seen.exit_code, seen.content) == (0, "1 /srv\n")


async def test_exit_codes_and_sessions(make_runtime: MakeRuntime) -> None:
    async with make_runtime() as runtime:
        for code in (0, 1, 7, 126, 127, 255):
            seen = await runtime.run(CmdRunAction(command=f"(exit {code})"))
            assert seen.exit_code == code
        await runtime.run(CmdRunAction(command="x=left", session="left"))
        seen = await runtime.run(CmdRunAction(command='echo "[$x]"', session="right"))
        assert seen.content == "[]\n"


async def test_streaming_yields_deltas_then_the_observation(make_runtime: MakeRuntime) -> None:
    async with make_runtime() as runtime:
        command = "for i in 1 2 3; do echo $i; sleep 0.1; done"
        events = [event async for event in runtime.stream(CmdRunAction(command=command))]
        *deltas, last = events
        assert isinstance(last, CmdOutputObservation)
        assert last.content == "1\n2\n3\n"
        assert "".join(d.content for d in deltas if isinstance(d, CmdOutputDelta)) == last.content
        assert len(deltas) >= 2
        offset = 0
        for delta in deltas:
            assert isinstance(delta, CmdOutputDelta)
            assert delta.offset == offset
            offset += delta.length
        assert offset == last.total_bytes


async def test_a_prompt_is_answered(make_runtime: MakeRuntime) -> None:
    async with make_runtime() as runtime:
        asked = await runtime.run(CmdRunAction(command='read -p "Go on? " a; echo "got $a"'))
        assert (asked.status, asked.content) == ("waiting_for_input", "Go on? ")
        assert asked.exit_code is None
        with pytest.raises(CommandStillRunning):
            await runtime.run(CmdRunAction(command="echo never"))
        answered = await runtime.run(CmdInputAction(text="yes\n"))
        assert answered.status == "completed"
        assert answered.content.endswith("got yes\n")
        assert "never" not in answered.content


async def test_a_command_past_its_time_goes_on(make_runtime: MakeRuntime) -> None:
    async with make_runtime() as runtime:
        action = CmdRunAction(command="echo one; sleep 1; echo two; (exit 3)", timeout_s=0.4)
        seen = await runtime.run(action, id="slow")
        assert (seen.status, seen.content, seen.exit_code) == ("timeout", "one\n", None)
        seen = await runtime.run(CmdPollAction(timeout_s=20))
        assert (seen.status, seen.content, seen.exit_code) == ("completed", "two\n", 3)


async def test_the_end_of_a_command_left_alone_is_an_event(make_runtime: MakeRuntime) -> None:
    async with make_runtime() as runtime:
        await runtime.run(CmdRunAction(command="sleep 0.5; (exit 4)", timeout_s=0.1), id="left")
        async with asyncio.timeout(20):
            async for event in runtime.events.subscribe():
                if isinstance(event, CommandEnded):
                    break
        assert (event.action_id, event.exit_code, event.status) == ("left", 4, "completed")


async def test_the_same_id_is_never_run_twice(make_runtime: MakeRuntime, tmp_path: Path) -> None:
    async with make_runtime() as runtime:
        action = CmdRunAction(command="echo run >> /tmp/$X.count; wc -l < /tmp/$X.count")
        name = os.urandom(4).hex()
        await runtime.run(CmdRunAction(command=f"X={name}"))
        seen = await asyncio.gather(*(runtime.run(action, id="once") for _ in range(5)))
        again = await runtime.run(action, id="once")
        assert {s.content.strip() for s in (*seen, again)} == {"1"}
        await runtime.run(CmdRunAction(command="rm /tmp/$X.count"))


async def test_a_cut_in_the_middle_loses_nothing(make_runtime: MakeRuntime) -> None:
    async with make_runtime() as runtime:
        command = "for i in $(seq 1 40); do echo line $i; sleep 0.05; done"
        running = asyncio.create_task(runtime.run(CmdRunAction(command=command), id="cut"))
        for _ in range(4):
            await asyncio.sleep(0.3)
            runtime.cut_connection()
        seen = await running
        lines = "".join(f"line {i}\n" for i in range(1, 41))
        assert (seen.exit_code, seen.content) == (0, lines)
        events = list(runtime.events.since(0))
        assert_gap_free(events)
        deltas = only(events, CmdOutputDelta, "cut")
        assert "".join(d.content for d in deltas if isinstance(d, CmdOutputDelta)) == lines
        assert any(isinstance(e, ConnectionLost) for e in events), "the cuts must have struck"


async def test_a_client_killed_in_the_middle_is_told_once(make_runtime: MakeRuntime) -> None:
    async with make_runtime() as runtime:
        await kill_client(runtime)
        with pytest.raises(ActionLost) as caught:
            await runtime.run(CmdRunAction(command="echo partial; sleep 30"), id="lost")
        assert caught.value.data["partial"] == "partial\n"
        seen = await runtime.run(CmdRunAction(command="echo back"))
        assert (seen.exit_code, seen.content) == (0, "back\n")
        assert seen.state_lost is not None
        assert "restarted" in seen.state_lost.reason
        seen = await runtime.run(CmdRunAction(command="echo again"))
        assert seen.state_lost is None
        events = list(runtime.events.since(0))
        assert_gap_free(events)
        assert len([e for e in events if isinstance(e, ClientStarted)]) == 2
        with pytest.raises(ActionLost):
            await runtime.run(CmdRunAction(command="echo partial; sleep 30"), id="lost")


async def test_a_second_controller_is_refused_and_may_take_over(make_runtime: MakeRuntime) -> None:
    async with make_runtime() as first:
        with pytest.raises(ControllerBusy):
            await EventStreamRuntime.attach(first.name).start()
        assert (await first.run(CmdRunAction(command="echo mine"))).content == "mine\n"
        async with EventStreamRuntime.attach(first.name, takeover=True) as second:
            assert (await second.run(CmdRunAction(command="echo ours"))).content == "ours\n"
            async with asyncio.timeout(10):
                seen = [event async for event in first.events.subscribe()]
            assert not any(isinstance(event, SandboxStopped) for event in seen)
            with pytest.raises(Fenced, match="took"):
                await first.run(CmdRunAction(command="echo whose"))
            assert_gap_free(list(second.events.since(0)))


async def test_attach_returns_with_the_history(make_runtime: MakeRuntime) -> None:
    runtime = make_runtime(keep=True)
    async with runtime:
        await runtime.run(CmdRunAction(command="cd /tmp; X=kept"), id="before")
    async with EventStreamRuntime.attach(runtime.name) as again:
        assert (await again.run(CmdRunAction(command='echo "$X"'))).content == "kept\n"
        events = list(again.events.since(0))
        assert_gap_free(events)
        assert only(events, CmdOutputObservation, "before")
        await again.close(keep=False)
    assert not list_records()


async def test_leaving_frees_everything(make_runtime: MakeRuntime, state_dir: Path) -> None:
    async with make_runtime() as runtime:
        await runtime.run(CmdRunAction(command="sleep 1000 & setsid sleep 1000 &"))
        [record] = list_records()
        assert record.server_pid == os.getpid()
    assert not list_records()
    assert not list(state_dir.glob("sandboxes/*/socket"))
    assert isinstance(list(runtime.events.since(0))[-1], SandboxStopped)
    with pytest.raises(RuntimeClosed):
        await runtime.run(CmdRunAction(command="true"))


async def test_cancelling_leaves_nothing(make_runtime: MakeRuntime) -> None:
    async def forever() -> None:
        async with make_runtime() as runtime:
            await runtime.run(CmdRunAction(command="sleep 1000"))

    task = asyncio.create_task(forever())
    await asyncio.sleep(3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not list_records()


async def test_errors_lose_nothing(make_runtime: MakeRuntime) -> None:
    async with make_runtime() as runtime:
        with pytest.raises(InvalidCommand):
            await runtime.run(CmdRunAction(command="echo a\0b"))
        with pytest.raises(NothingRunning):
            await runtime.run(CmdInputAction(text="x"))
        with pytest.raises(InvalidAction):
            await runtime.run(CmdInputAction.model_construct(action="input", text="a", key="b"))
        assert (await runtime.run(CmdRunAction(command="echo fine"))).content == "fine\n"
        reset = await runtime.run(SessionResetAction())
        assert reset.state_lost.reason
        assert (await runtime.run(CmdRunAction(command="echo fresh"))).content == "fresh\n"
        assert_gap_free(list(runtime.events.since(0)))


async def test_names(make_runtime: MakeRuntime) -> None:
    with pytest.raises(SandboxNotFound):
        EventStreamRuntime.attach("nobody")
    for unusable in ("", "X", "../escape"):
        with pytest.raises(SandboxNotFound, match="no usable name") as caught:
            EventStreamRuntime.attach(unusable)
        assert "tether ps" in caught.value.hint
    with pytest.raises(ValueError, match="usable name"):
        make_runtime(name="../escape")
    async with make_runtime(name="taken"):
        with pytest.raises(NameTaken):
            await make_runtime(name="taken").start()
        assert [record.name for record in list_records()] == ["taken"]


async def test_a_kept_sandbox_outlives_its_server(tmp_path: Path) -> None:
    """The server is killed without a word; a new one attaches and gets what it missed."""
    program = tmp_path / "server.py"
    program.write_text(
        "import asyncio, os, signal\n"
        "from tether_server import CmdRunAction, EventStreamRuntime\n"
        "async def main():\n"
        "    async with EventStreamRuntime(backend='local', name='orphan', keep=True) as r:\n"
        "        asyncio.create_task(r.run(CmdRunAction(\n"
        "            command='echo before; sleep 1; echo after'), id='running'))\n"
        "        await asyncio.sleep(0.3)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    import sys

    process = await asyncio.create_subprocess_exec(sys.executable, str(program))
    assert await process.wait() == -signal.SIGKILL
    async with EventStreamRuntime.attach("orphan") as runtime:
        seen = await runtime.run(CmdRunAction(command="never run"), id="running")
        assert (seen.exit_code, seen.content) == (0, "before\nafter\n")
        assert_gap_free(list(runtime.events.since(0)))
        await runtime.close(keep=False)
