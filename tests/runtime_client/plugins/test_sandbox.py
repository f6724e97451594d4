"""Plugins that go wrong in a whole sandbox: its client, its server and its shell do not notice."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tether_runtime_client.plugin.installed import InstalledPlugin
from tether_runtime_client.proctree import read_process
from tether_server import (
    ActionAccepted,
    ActionCancelled,
    ActionLost,
    CancelAction,
    ClientStarted,
    CmdRunAction,
    Event,
    EventStreamRuntime,
    FileReadAction,
    FileWriteAction,
    OpaqueAction,
    PluginError,
    PluginEvent,
    PluginEventsOmitted,
    PluginFailed,
    PluginLost,
    PluginStarted,
    SetEnvAction,
)

from ...behaviours.footprint import Footprint, footprint
from ...server.plugins.tides import fresh_classes
from .house import SLOW_S, declared
from .packages import install_packages

MEMORY = "256m"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where packages are installed for this test."""
    folder = tmp_path / "site"
    install_packages(folder)
    monkeypatch.syspath_prepend(folder)
    with fresh_classes():
        yield folder


@pytest.fixture
def runtime(site: Path) -> EventStreamRuntime:
    """With both plugins, not entered yet."""
    return EventStreamRuntime(backend="local", plugins=["bad", "good"])


def told(runtime: EventStreamRuntime, kind: type[Event]) -> list[Any]:
    return [event for event in runtime.events.since(0) if isinstance(event, kind)]


async def do(runtime: EventStreamRuntime, what: str, how: str = "", **options: Any) -> Any:
    action = OpaqueAction(kind="bad.do", fields={"what": what, "how": how})
    return await runtime.run(action, **options)


async def say(runtime: EventStreamRuntime, text: str) -> str:
    return text_of(await runtime.run(OpaqueAction(kind="good.say", fields={"text": text})))


def text_of(observation: Any) -> str:
    """Whether or not its class is known here."""
    fields = getattr(observation, "fields", None)
    return str(observation.text if fields is None else fields["text"])


async def client_works(runtime: EventStreamRuntime, folder: Path) -> None:
    """What has nothing to do with plugins."""
    seen = await runtime.run(CmdRunAction(command="echo well", timeout_s=SLOW_S))
    assert (seen.exit_code, seen.content) == (0, "well\n")
    path = str(folder / "file")
    await runtime.run(FileWriteAction(path=path, content="well"))
    assert (await runtime.run(FileReadAction(path=path))).content == "well"


def client(runtime: EventStreamRuntime) -> int:
    return int(told(runtime, ClientStarted)[-1].pid)


async def until(happened: Callable[[], object]) -> None:
    async with asyncio.timeout(SLOW_S):
        while not happened():
            await asyncio.sleep(0.02)


async def accepted(runtime: EventStreamRuntime, before: int) -> None:
    await until(lambda: len(told(runtime, ActionAccepted)) > before)


async def ended(pid: int) -> None:
    await until(lambda: (process := read_process(pid)) is None or not process.alive)


async def test_a_sandbox_without_them_has_nothing_of_them(
    site: Path, state_dir: Path, tmp_path: Path
) -> None:
    """What Python imports it says on its standard error, which is the client's log."""
    env = {"PYTHONPROFILEIMPORTTIME": "1"}
    async with EventStreamRuntime(backend="local", env=env, plugins=["good"]) as runtime:
        await client_works(runtime, tmp_path)
        await runtime.exec(["true"])
        [log] = state_dir.rglob("client.log")
        assert "tether_runtime_client.handlers.plugins" in imports(log)
        assert not [name for name in imports(log) if is_about_plugins(name)]
        assert await say(runtime, "hello") == "hello"
        assert [name for name in imports(log) if is_about_plugins(name)]
        assert not [name for name in imports(log) if name.startswith("corpus")]


def imports(log: Path) -> list[str]:
    lines = log.read_text(errors="replace").splitlines()
    return [line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")]


def is_about_plugins(name: str) -> bool:
    return re.match(r"tether_runtime_client\.plugins?(\.|$)", name) is not None


@pytest.mark.usefixtures("pids")
async def test_whatever_they_do_nothing_else_notices(
    runtime: EventStreamRuntime, tmp_path: Path
) -> None:
    async with runtime:
        await say(runtime, "hello")
        await client_works(runtime, tmp_path)
        before = footprint(client(runtime))
        for how in ("raw_random", "raw_endless", "forks_and_leaves"):
            asked = asyncio.create_task(do(runtime, how))
            await client_works(runtime, tmp_path)
            with pytest.raises(PluginLost):
                await asked
        flood = asyncio.create_task(do(runtime, "floods", str(16 * 1024)))
        await client_works(runtime, tmp_path)
        await flood
        assert await say(runtime, "still") == "still"
        assert len(told(runtime, PluginFailed)) == 3
        await check_footprint(runtime, before)


async def check_footprint(runtime: EventStreamRuntime, before: Footprint) -> None:
    """As many descriptors as before, but for the other plugin's, and not much more memory."""
    after = footprint(client(runtime))
    assert after.resident < before.resident + 32 * 1024 * 1024
    await until(lambda: footprint(client(runtime)).descriptors <= before.descriptors + 4)


@pytest.mark.parametrize("count", [10_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
@pytest.mark.timeout(600)
async def test_events_without_end_come_at_the_pace_of_the_server(
    runtime: EventStreamRuntime, tmp_path: Path, count: int
) -> None:
    async with runtime:
        await do(runtime, "nothing")
        await client_works(runtime, tmp_path)
        before = footprint(client(runtime))
        asked = asyncio.create_task(do(runtime, "tells", str(count)))
        waits = []
        while not asked.done():
            began = time.monotonic()
            await client_works(runtime, tmp_path)
            waits.append(time.monotonic() - began)
        await asked
        assert max(waits) < 5
        numbers = [event.number for event in told(runtime, PluginEvent)]
        left_out = sum(event.count for event in told(runtime, PluginEventsOmitted))
        assert len(numbers) + left_out == count
        assert left_out or numbers == list(range(count))
        await check_footprint(runtime, before)


async def test_a_client_that_dies_takes_them_along(runtime: EventStreamRuntime, pids: Path) -> None:
    async with runtime:
        await do(runtime, "forks")
        before = len(told(runtime, ActionAccepted))
        asked = asyncio.create_task(do(runtime, "hangs"))
        await until(lambda: len(list(pids.iterdir())) == 2)
        await accepted(runtime, before)
        [started] = told(runtime, PluginStarted)
        os.kill(client(runtime), signal.SIGKILL)
        with pytest.raises(ActionLost, match=r"while this bad\.do action ran"):
            await asked
        for pid in (started.pid, *(int(path.name) for path in pids.iterdir())):
            await ended(pid)
        await do(runtime, "nothing")
        assert len(told(runtime, PluginStarted)) == 2


async def test_files_of_the_client_that_they_replace_do_not_hold_it_up(
    runtime: EventStreamRuntime, state_dir: Path, tmp_path: Path
) -> None:
    async with runtime:
        await client_works(runtime, tmp_path)
        await runtime.run(SetEnvAction(env={"SET": "before"}))
        await do(runtime, "floods", "2000")
        [state] = state_dir.rglob("run/state")
        await do(runtime, "replaces_files", str(state))
        with pytest.raises(PluginLost):
            await do(runtime, "exits")
        await runtime.run(CmdRunAction(command=f"cd {tmp_path}", timeout_s=SLOW_S))
        await client_works(runtime, tmp_path)
        await runtime.run(SetEnvAction(env={"SET": "after"}))
        os.kill(client(runtime), signal.SIGKILL)
        await until(lambda: len(told(runtime, ClientStarted)) == 2)
        await client_works(runtime, tmp_path)
        assert await say(runtime, "variable SET") == "after"
        await do(runtime, "nothing")


async def test_an_action_of_theirs_is_cancelled_like_any_other(
    runtime: EventStreamRuntime,
) -> None:
    async with runtime:
        await do(runtime, "nothing")
        for how, end in (("hangs", None), ("does_not_heed", "what there was")):
            before = len(told(runtime, ActionAccepted))
            asked = asyncio.create_task(do(runtime, how, id=how))
            await accepted(runtime, before)
            await runtime.run(CancelAction(target_id=how))
            if end is None:
                with pytest.raises(ActionCancelled, match="it was cancelled"):
                    await asked
            else:
                assert text_of(await asked) == end


async def test_it_is_told_where_sessions_are_and_what_they_export(
    runtime: EventStreamRuntime, tmp_path: Path
) -> None:
    async with runtime:
        await runtime.run(SetEnvAction(env={"SET": "for all"}))
        assert await say(runtime, "variable SET") == "for all"
        await runtime.run(CmdRunAction(command=f"cd {tmp_path}; export OWN='of this one'"))
        assert await say(runtime, "folder default") == str(tmp_path)
        assert await say(runtime, "variable OWN") == "of this one"
        assert await say(runtime, "folder other") == os.getcwd()


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("how", ["leaves_a_note", "does_not_stop"])
async def test_at_the_end_of_the_sandbox_they_are_stopped(pids: Path, how: str) -> None:
    plugins: dict[str, dict[str, str]] = {"bad": {"stop": how}}
    async with EventStreamRuntime(backend="local", plugins=plugins) as runtime:
        await do(runtime, "nothing")
        [started] = told(runtime, PluginStarted)
        began = time.monotonic()
    assert time.monotonic() - began < 15
    assert [path.name for path in pids.iterdir()] == ["note"] * (how == "leaves_a_note")
    await ended(started.pid)


async def test_one_that_is_to_run_from_the_beginning_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_packages(tmp_path / "early", start="sandbox")
    monkeypatch.syspath_prepend(tmp_path / "early")
    async with EventStreamRuntime(backend="local", plugins=["bad", "good"]) as runtime:
        await until(lambda: told(runtime, PluginStarted))
        assert [event.plugin for event in told(runtime, PluginStarted)] == ["bad"]
        assert {info.name: info.state for info in await runtime.plugins()} == {
            "bad": "running",
            "good": "idle",
        }
        os.kill(client(runtime), signal.SIGKILL)
        await until(lambda: len(told(runtime, PluginStarted)) == 2)


@pytest.mark.engine
async def test_one_that_eats_all_memory_is_told_so(debian: str) -> None:
    """Put in by hand, before anything looks for plugins: an image of its own would take minutes."""
    async with EventStreamRuntime(debian, resources={"mem_limit": MEMORY}) as runtime:
        folder = "/opt/tether/plugins/bad"
        await runtime.exec(["mkdir", "-p", folder])
        await runtime.upload(Path(__file__).parent / "corpus", f"{folder}/site/corpus")
        bad = InstalledPlugin(declaration=declared(), version="1", path=(f"{folder}/site",))
        content = bad.model_dump_json()
        await runtime.run(FileWriteAction(path=f"{folder}/plugin.json", content=content))
        with pytest.raises(PluginLost, match="because memory had run out") as found:
            await do(runtime, "eats")
        assert (found.value.data["signal"], found.value.data["oom_kills"]) == (9, 1)
        [failed] = told(runtime, PluginFailed)
        assert (failed.exit_code, "memory had run out" in failed.reason) == (137, True)
        described = text_of(await do(runtime, "describes"))
        assert "socket:" not in described
        assert "[  ]" in described, "nothing of the launcher's own"
        with pytest.raises(PluginError):
            await do(runtime, "raises")
        seen = await runtime.run(CmdRunAction(command="echo well"))
        assert seen.content == "well\n"
