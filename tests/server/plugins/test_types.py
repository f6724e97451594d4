"""What a type checker knows of plugins' actions, in a program outside of this project."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ...conftest import ROOT

PROGRAM = """
from typing import Literal, assert_type

from tether_runtime_client.plugin import PluginAction, PluginObservation
from tether_server import (
    ActionSubmitted,
    CmdOutputObservation,
    CmdRunAction,
    EventStreamRuntime,
    IPythonRunCellAction,
    IPythonRunCellObservation,
    ListSkillsAction,
    SkillsObservation,
    SyncEventStreamRuntime,
)


class LookObservation(PluginObservation):
    observation: Literal["tides.look"] = "tides.look"
    height: float


class LookAction(PluginAction[LookObservation]):
    action: Literal["tides.look"] = "tides.look"


class RawAction(PluginAction):
    action: Literal["tides.raw"] = "tides.raw"


async def main(runtime: EventStreamRuntime, other: SyncEventStreamRuntime) -> None:
    assert_type(await runtime.run(LookAction()), LookObservation)
    assert_type(other.run(LookAction()), LookObservation)
    assert_type(await runtime.run(RawAction()), PluginObservation)
    assert_type(await runtime.run(ListSkillsAction()), SkillsObservation)
    assert_type(await runtime.run(IPythonRunCellAction(code="1")), IPythonRunCellObservation)
    assert_type(await runtime.run(CmdRunAction(command="true")), CmdOutputObservation)
    async for event in runtime.stream(LookAction()):
        if isinstance(event, LookObservation):
            assert_type(event.height, float)
    for stored in runtime.events.since():
        if isinstance(stored, ActionSubmitted) and isinstance(stored.action, LookAction):
            assert_type(stored.action, LookAction)


EventStreamRuntime("debian", plugins=["jupyter"], plugin_packages=["some-tides"])
EventStreamRuntime("debian", plugins={"jupyter": {"python": "auto"}, "tides": None})
EventStreamRuntime.sync("debian", plugins=["jupyter"])
"""


@pytest.mark.slow
def test_an_actions_answer_has_its_type(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, "-m", "mypy", "--strict", "--warn-unreachable", str(program)]
    folders = (ROOT / part for part in ("runtime_client", "server", "plugins", "image_builder"))
    done = subprocess.run(
        [*command, "--cache-dir", str(tmp_path / "cache")],
        env={"MYPYPATH": ":".join(map(str, folders)), "PATH": "/usr/bin"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
