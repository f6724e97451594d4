from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from tether_runtime_client.shell import NoShell, bash_selftest, choose_bash

from .conftest import BASH, ENV

pytestmark = pytest.mark.usefixtures("no_leftovers")


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


async def test_a_good_bash_passes() -> None:
    found = await bash_selftest(BASH, env=ENV)
    assert found.problem == ""
    assert found.version.startswith("5.")


async def test_twenty_at_a_time_pass() -> None:
    """The interrupt is sent to a loop that runs, however long that takes to come."""
    found = await asyncio.gather(*(bash_selftest(BASH, env=ENV) for _ in range(20)))
    assert {each.problem for each in found} == {""}


async def test_no_environment_at_all() -> None:
    assert (await bash_selftest(BASH)).problem == ""


@pytest.mark.parametrize("options", ["xtrace:verbose:nounset", "errexit", "posix:noglob"])
async def test_an_images_options_of_its_shells_are_no_fault_of_its_bash(options: str) -> None:
    env = {**ENV, "SHELLOPTS": options, "BASHOPTS": "failglob"}
    assert (await bash_selftest(BASH, env=env)).problem == ""


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("exit 1", "did not become ready"),
        ("exec cat", "did not become ready"),
        ("exec sh", "did not become ready"),
        ("sleep 60", "did not become ready"),
        ('exec bash --noediting -c "exit 0"', "did not become ready"),
    ],
)
async def test_what_is_no_bash_fails(tmp_path: Path, text: str, problem: str) -> None:
    began = time.monotonic()
    found = await bash_selftest(script(tmp_path / "bash", text), env=ENV, timeout_s=1)
    assert problem in found.problem
    assert time.monotonic() - began < 4


async def test_not_there_and_not_executable(tmp_path: Path) -> None:
    (tmp_path / "bash").write_text("")
    for path in (tmp_path / "bash", tmp_path / "nosuch", tmp_path):
        assert (await bash_selftest(str(path))).problem


async def test_an_old_version_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tether_runtime_client.shell.bash_choice.OLDEST", (99, 0))
    found = await bash_selftest(BASH, env=ENV)
    assert "at least 99.0 is needed" in found.problem


async def test_the_images_own_comes_first(tmp_path: Path) -> None:
    bundled = script(tmp_path / "bash", f'exec {BASH} "$@"')
    choice = await choose_bash(env=ENV, bundled=bundled)
    assert (choice.path, choice.reason, choice.refused) == ("/usr/bin/bash", "the image's own", ())
    assert choice.version


async def test_the_one_on_the_path_comes_first(tmp_path: Path) -> None:
    own = script(tmp_path / "bash", f'exec {BASH} "$@"')
    choice = await choose_bash(env={"PATH": str(tmp_path)})
    assert choice.path == own


async def test_the_bundled_one_is_the_fallback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tether_runtime_client.shell.bash_choice._PLACES", ())
    broken = tmp_path / "image"
    broken.mkdir()
    script(broken / "bash", "exit 3")
    bundled = script(tmp_path / "bash", f'exec {BASH} "$@"')
    choice = await choose_bash(env={"PATH": str(broken)}, bundled=bundled)
    assert (choice.path, choice.reason) == (bundled, "the bundled one")
    assert [path for path, _ in choice.refused] == [str(broken / "bash")]
    assert choice.explanation.startswith(f"the bundled one; {broken}/bash: ")


async def test_without_means_for_any_the_first_is_taken_untried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("resource.getrlimit", lambda _: (256, 256))
        choice = await choose_bash(env=ENV)
    assert (choice.path, choice.version) == ("/usr/bin/bash", "")
    assert "untried" in choice.reason
    assert "256 files" in choice.reason

    async def at_once(_: int) -> None: ...

    monkeypatch.setattr("tether_runtime_client.shell.bash_choice.starves", at_once)
    choice = await choose_bash(env=ENV)
    assert choice.path == "/usr/bin/bash"
    assert "as many processes run here as are allowed" in choice.reason


async def test_the_one_asked_for(tmp_path: Path) -> None:
    own = script(tmp_path / "mine", f'exec {BASH} "$@"')
    choice = await choose_bash(asked=own, env=ENV)
    assert (choice.path, choice.reason) == (own, "asked for")


async def test_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tether_runtime_client.shell.bash_choice._PLACES", ())
    broken = script(tmp_path / "bash", "exit 3")
    with pytest.raises(NoShell) as caught:
        await choose_bash(env={"PATH": str(tmp_path)}, bundled=str(tmp_path / "nosuch"))
    assert [path for path, _ in caught.value.tried] == [broken]
    assert "4.4" in str(caught.value)
    with pytest.raises(NoShell, match="none found"):
        await choose_bash(env={"PATH": os.devnull}, bundled=str(tmp_path / "nosuch"))
