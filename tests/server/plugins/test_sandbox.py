"""A stranger's plugin in a sandbox, from the runtime to its process and back, and after it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import pytest

from tether_runtime_client.protocol.errors import (
    InvalidAction,
    PluginInvalid,
    PluginMissing,
    StartFailed,
)
from tether_runtime_client.protocol.events import ActionSubmitted, PluginStarted, PluginWarning
from tether_runtime_client.protocol.message import Message
from tether_runtime_client.protocol.observations import OpaqueObservation
from tether_runtime_client.protocol.plugin_actions import OpaqueAction, PluginAction
from tether_runtime_client.protocol.plugin_observations import PluginObservation
from tether_server import EventStreamRuntime, OperatorRuntime, SyncEventStreamRuntime
from tether_server.record import load_record

from . import tides

CONFIG = {"harbour": "Dover", "key": b"\xff\x00"}

ATTACHES = """
import asyncio, os, signal, sys
from tether_server import EventStreamRuntime, OpaqueAction

async def main():
    async with EventStreamRuntime.attach(sys.argv[1]) as runtime:
        print(type(await runtime.run(OpaqueAction(kind="tides.look"))).__name__)
        for event in runtime.events.since():
            action = getattr(event, "action", None)
            name = type(event if action is None else action).__name__
            if hasattr(event, "fields") and event.kind.startswith("tides."):
                print(name, event.kind, event.fields)
            elif action is not None:
                print(name)
        [info] = await runtime.plugins()
        print(info.name, info.state, flush=True)
        runtime._active.submit(OpaqueAction(kind="tides.look", fields={"days": 2}), "left")
        await asyncio.sleep(0)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def messages() -> Any:
    """The classes of the installed package."""
    return import_module("some_tides.messages")


def kinds(events: list[Any]) -> list[str]:
    """What of a history is the plugin's, by the names of the classes."""
    named = [e.action if isinstance(e, ActionSubmitted) else e for e in events]
    return [type(one).__name__ for one in named if type(one).__module__ == "some_tides.messages"]


async def test_its_messages_are_of_its_own_classes(installed: Path) -> None:
    async with EventStreamRuntime(backend="local", plugins={"tides": CONFIG}) as runtime:
        own = messages()
        assert not [e for e in runtime.events.since() if isinstance(e, ActionSubmitted)]
        [info] = await runtime.plugins()
        assert (info.name, info.version, info.state, info.pid) == ("tides", "1.2", "idle", None)
        answer = await runtime.run(own.LookAction(days=2, salt=b"\xfe"))
        assert isinstance(answer, own.LookObservation)
        assert answer.harbour == "Dover"
        assert answer.levels == (own.Level(height=1.5, mark=b"\xfe\xff\x00"),) * 2
        streamed = [event async for event in runtime.stream(own.LookAction(days=2))]
        assert [type(event) for event in streamed] == [own.Wave, own.Wave, own.LookObservation]
        assert [event.height for event in streamed[:2]] == [1.5, 2.5]
        assert isinstance(await runtime.run(own.RawAction()), own.LookObservation)
        opaque = await runtime.run(OpaqueAction(kind="tides.look", fields={"days": 0}))
        assert isinstance(opaque, own.LookObservation)
        [info] = await runtime.plugins(health=True)
        assert info.state == "running"
        assert info.pid is not None
        again = await runtime.run(own.LookAction(days=9), id=streamed[0].action_id)
        assert len(again.levels) == 2, "the same id is the same action"
        await by_its_port(runtime)
        await by_classes_of_the_caller(runtime)
        async with OperatorRuntime.beside(runtime.name) as beside:
            answer = await beside.run(own.LookAction(days=0))
            assert isinstance(answer, own.LookObservation)
            told = [type(e.action) for e in beside.events.since() if isinstance(e, ActionSubmitted)]
            assert told == [own.LookAction]
    look = ["LookAction", "Wave", "Wave", "LookObservation"]
    assert kinds(list(runtime.events.since()))[:8] == look * 2
    assert any(isinstance(event, PluginStarted) for event in runtime.events.since())


async def by_classes_of_the_caller(runtime: EventStreamRuntime) -> None:
    """The brackets count, whatever class the installed package has for the same."""

    class Brief(PluginObservation):
        observation: Literal["tides.level"] = "tides.level"
        harbour: str
        levels: tuple[object, ...]

    class Ask(PluginAction[Brief]):
        action: Literal["tides.look"] = "tides.look"

    assert isinstance(await runtime.run(Ask()), Brief)
    assert isinstance([event async for event in runtime.stream(Ask())][-1], Brief)


async def by_its_port(runtime: EventStreamRuntime) -> None:
    forward = await runtime.forward("tides.map")
    reader, writer = await asyncio.open_connection("127.0.0.1", forward.port)
    assert await reader.read() == b"high water"
    writer.close()
    with pytest.raises(InvalidAction, match="no port 'mop'") as refusal:
        await runtime.forward("tides.mop")
    assert "tides.map" in refusal.value.hint
    with pytest.raises(PluginMissing, match="no plugin 'moon'"):
        await runtime.forward("moon.map")
    with pytest.raises(PluginMissing, match="agent_skills"):
        await runtime.skills()


async def test_servers_with_and_without_the_package(installed: Path) -> None:
    first = EventStreamRuntime(backend="local", plugins={"tides": CONFIG}, keep=True)
    async with first:
        await first.run(messages().LookAction())
    try:
        assert "Dover" in repr(load_record(first.name).plugins["tides"])
        told = without_the_package(first.name)
        assert told[0] == "OpaqueObservation"
        assert told.count("OpaqueAction") == 2
        assert "OpaqueEvent tides.wave {'height': 1.5}" in told
        assert told[-1] == "tides running"
        tides.install(installed, version="1.3")
        with tides.fresh_classes():
            await by_another_version(first.name)
    finally:
        await remove(first.name)


async def by_another_version(sandbox: str) -> None:
    async with EventStreamRuntime.attach(sandbox) as runtime:
        answer = await runtime.run(messages().LookAction(days=0))
        assert answer.harbour == "Dover"
        left = await runtime.run(messages().LookAction(), id="left")
        assert len(left.levels) == 2, "it is what the killed server had submitted"
        waves = [e for e in runtime.events.since() if isinstance(e, messages().Wave)]
        assert len([wave for wave in waves if wave.action_id == "left"]) == 2
        [warning] = [e for e in runtime.events.since() if isinstance(e, PluginWarning)]
        assert "version 1.2" in warning.message
        assert "1.3" in warning.message
        assert "1.2" in warning.hint
    assert kinds(list(runtime.events.since()))[:3] == ["LookAction", "Wave", "LookObservation"]


def without_the_package(sandbox: str) -> list[str]:
    command = [sys.executable, "-c", ATTACHES, sandbox]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return done.stdout.splitlines()


async def remove(sandbox: str) -> None:
    runtime = EventStreamRuntime.attach(sandbox)
    await runtime.start()
    await runtime.close(keep=False)


async def test_what_the_sandbox_says_wrongly_stays_opaque(
    site: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The package in the sandbox is another than the one here."""
    tides.install(site)
    async with EventStreamRuntime(backend="local", plugins=["tides"]) as runtime:
        await runtime._active.submit(OpaqueAction(kind="tides.look"), None).answer
        harbour = tides.MESSAGES.replace("harbour: str\n", "harbour: float\n")
        tides.install(site, **{"messages.py": harbour})
        tides.forget()
        own = messages()
        with caplog.at_level(logging.WARNING, logger="tether_server"):
            for _ in range(2):
                answer = await runtime.run(OpaqueAction(kind="tides.look"))
                assert isinstance(answer, OpaqueObservation)
                assert answer.fields["harbour"] == "Calais"
        assert len([r for r in caplog.records if "tides.level" in r.message]) == 1
        with pytest.raises(Exception, match="no LookObservation") as refusal:
            await runtime.run(own.LookAction())
        assert "another version" in str(refusal.value)


async def test_what_was_asked_for_and_is_not_there_is_an_error(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tether_server.backends import local

    monkeypatch.setattr(local, "_put_plugins", lambda spec: {"moon": "7"})
    with pytest.raises(PluginMissing, match="without the plugin 'tides'; it has moon"):
        async with EventStreamRuntime(backend="local", plugins=["tides"]):
            pass


async def test_what_is_missing_on_this_machine_is_said_at_the_start(site: Path) -> None:
    needy = tides.DECLARATION + "[image]\npip = ['no-such-thing>=3']\n"
    tides.install(site, **{"tether-plugin.toml": needy})
    with pytest.raises(PluginInvalid, match=r"'tides' needs .* no-such-thing>=3") as refusal:
        async with EventStreamRuntime(backend="local", plugins=["tides"]):
            pass
    assert "pip install 'no-such-thing>=3'" in refusal.value.hint


async def test_modules_that_are_not_there_are_said_at_the_start(site: Path) -> None:
    wrong = tides.DECLARATION.replace(
        'skills = ["some_tides.skills"]', 'skills = ["some_tides.no"]'
    )
    tides.install(site, **{"tether-plugin.toml": wrong})
    with pytest.raises(PluginInvalid, match=r"that it has not: some_tides\.no"):
        async with EventStreamRuntime(backend="local", plugins=["tides"]):
            pass


async def test_packages_are_for_images(installed: Path) -> None:
    with pytest.raises(StartFailed, match="no plugin_packages"):
        async with EventStreamRuntime(backend="local", plugin_packages=["some-tides"]):
            pass


def test_without_asyncio(installed: Path) -> None:
    with SyncEventStreamRuntime(backend="local", plugins=["tides"]) as runtime:
        own = messages()
        assert runtime.run(own.LookAction()).harbour == "Calais"
        assert [type(event) for event in runtime.stream(own.LookAction())] == [
            own.Wave,
            own.LookObservation,
        ]
        assert [info.state for info in runtime.plugins()] == ["running"]
        assert kinds(list(runtime.events.since()))[0] == "LookAction"


def test_a_configuration_may_be_the_plugins_own_model(installed: Path) -> None:
    model: type[Message] = messages().TidesConfig
    runtime = EventStreamRuntime(backend="local", plugins={"tides": model(depth=2)})  # type: ignore[call-arg]
    assert runtime._spec.plugins == {"tides": {"depth": 2.0}}
    with pytest.raises(PluginInvalid):
        EventStreamRuntime(backend="local", plugins={"tides": {"depht": 2}})


def test_a_sandbox_without_plugins_looks_for_none() -> None:
    program = """
import asyncio, sys
from tether_server import CmdRunAction, EventStreamRuntime

async def main():
    async with EventStreamRuntime(backend="local") as runtime:
        await runtime.run(CmdRunAction(command="true"))
        list(runtime.events.since())
    late = ["plugin.discovery", "plugin.declaration", "protocol.skills", "protocol.jupyter"]
    found = {"tether_runtime_client." + name for name in late} & set(sys.modules)
    found |= {"tether_server.plugins.message_classes"} & set(sys.modules)
    sys.exit(", ".join(found) or 0)

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_on_the_command_line(installed: Path) -> None:
    config = installed / "config.json"
    config.write_text(json.dumps({"harbour": "Ostend"}))
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    asked = ["--plugins", "tides", "--plugin-config", f"tides=@{config}"]

    def tether(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tether_server.cli", *words]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, env=environment
        )

    done = tether("run", "-q", "--local", "--keep", "--name", "of-tides", *asked, "--", "true")
    assert done.returncode == 0, done.stderr
    try:
        done = tether("plugins", "of-tides")
        assert "tides" in done.stdout
        assert "idle" in done.stdout
        assert "tides.map" in done.stdout
        [info] = json.loads(tether("plugins", "of-tides", "--json").stdout)
        assert info["actions"] == ["tides.look", "tides.raw"]
        done = tether("skills", "of-tides")
        assert done.returncode == 125
        assert "agent_skills" in done.stderr
        assert load_record("of-tides").plugins == {"tides": {"harbour": "Ostend"}}
    finally:
        tether("rm", "of-tides")
