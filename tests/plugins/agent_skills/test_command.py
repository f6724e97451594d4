"""`skill` in a shell, as the client writes it for a sandbox that has the plugin."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tether_runtime_client.plugin.discovery import find_plugin
from tether_runtime_client.plugin_commands import write_commands
from tether_runtime_client.settings import ClientSettings

MINE = '''
"""What a user wrote."""
import os
import sys
from typing import Literal


def add(first: int, second: int = 2, *more: float, mode: Literal["plain", "loud"] = "plain"):
    """Add numbers.

    Whatever they are.
    """
    return first + second + sum(more) if mode == "plain" else "LOUD"

def table(names: list[str]) -> list[dict]:
    return [{"name": name} for name in names]

async def later(word: str): return word.upper()
def lines():
    yield "one"
    yield "two"

def raw() -> bytes: return b"\\xff\\n"
def boom(): raise LookupError("no such thing")
def leave(code: int): sys.exit(code)
def preload(): return os.environ.get("LD_PRELOAD")
def open_file(): ...
def checked(x: "OnlyForTypeCheckers"): ...

made = [lambda word: word * 2][0]
'''


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> ClientSettings:
    folder = tmp_path_factory.mktemp("sandbox")
    for name in ("agent_skills", "documents"):
        (folder / "plugins" / name).mkdir(parents=True)
        described = find_plugin(name).in_place().model_dump_json()
        (folder / "plugins" / name / "plugin.json").write_text(described)
    (folder / "run" / "skills").mkdir(parents=True)
    (folder / "run" / "skills" / "mine.py").write_text(MINE)
    settings = ClientSettings(run_dir=folder / "run", plugins=folder / "plugins")
    assert write_commands(settings) == str(folder / "run" / "bin")
    return settings


class Shell:
    def __init__(self, settings: ClientSettings) -> None:
        self._env = {**os.environ, "PATH": f"{settings.run_dir}/bin:{os.environ['PATH']}"}

    def __call__(self, command: str, **env: str) -> tuple[int, str, str]:
        done = subprocess.run(
            ["sh", "-c", command],
            env={**self._env, **env},
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=60,
        )
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def sh(settings: ClientSettings) -> Shell:
    return Shell(settings)


def test_all_are_listed_by_module_with_signatures_and_first_lines(sh: Shell) -> None:
    code, out, err = sh("skill --list")
    assert (code, err) == (0, "")
    at = [out.index(f"{name}\n") for name in ("tether_plugins.agent_skills", "mine")]
    assert at == sorted(at)
    assert "  open_file(path: str, line_number: int = 1, context_lines: int = 100) -> None\n" in out
    assert "      Add numbers.\n" in out
    assert "  parse_pdf(" in out


def test_arguments_come_in_order_or_by_name_and_are_converted(sh: Shell) -> None:
    assert sh("skill add 1 -- 2 -0.5")[:2] == (0, "2.5\n")
    assert sh("skill add --second=5 --first 1 --mode loud")[:2] == (0, "LOUD\n")
    code, out, err = sh("skill add one")
    assert (code, out) == (2, "")
    assert 'unable to convert "one" into int' in err
    assert "usage: skill add(first: int, second: int = 2, *more: float, mode: Literal[" in err


def test_text_may_begin_with_hyphens_and_options_are_known(sh: Shell, tmp_path: Path) -> None:
    file = tmp_path / "notes.md"
    file.touch()
    call = f"skill append_file {file}"
    code, _, err = sh(f"{call} '- item' && {call} '--- a' && {call} --content=--x && {call} -- --y")
    assert (code, err) == (0, "")
    assert file.read_text() == "- item\n--- a\n--x\n--y\n"
    code, _, err = sh(f"{call} --contents x")
    assert code == 2
    assert "there is no option --contents; text like that comes behind --" in err


def test_what_comes_back_is_printed(sh: Shell) -> None:
    code, out, _ = sh("skill table é b; skill later hi; skill lines; skill raw; skill mine.made x")
    table, rest = out[: out.index("]") + 1], out[out.index("]") + 2 :]
    assert code == 0
    assert json.loads(table) == [{"name": "é"}, {"name": "b"}]
    assert rest == "HI\none\ntwo\n\udcff\nxx\n"


def test_errors_end_with_statuses_of_their_own(sh: Shell) -> None:
    assert sh("skill boom") == (1, "", "skill boom: LookupError: no such thing\n")
    code, _, err = sh("skill --traceback boom")
    assert code == 1
    assert 'in boom\n    def boom(): raise LookupError("no such thing")' in err
    assert sh("skill leave 7")[0] == 7
    code, out, err = sh("skill open_fil")
    assert (code, out) == (2, "")
    assert "did you mean open_file or" in err
    code, _, err = sh("skill open_file x")
    assert code == 2
    assert "tether_plugins.agent_skills.open_file or mine.open_file" in err
    code, _, err = sh("skill checked x")
    assert code == 2
    assert "checked cannot be called from a shell: name 'OnlyForTypeCheckers'" in err


def test_the_manual_is_the_docstring(sh: Shell) -> None:
    code, out, _ = sh("skill add --help")
    assert code == 0
    assert out.startswith("add(first: int,")
    assert out.endswith("    Add numbers.\n\n    Whatever they are.\n\n(from mine)\n")


def test_a_file_stays_open_from_one_call_to_the_next(sh: Shell, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("one\ntwo\nthree\n")
    code, out, err = sh(
        f"skill agent_skills.open-file {tmp_path}/text --context-lines 1 && skill scroll_down"
    )
    assert (code, err) == (0, "")
    assert "\n2|two\n" in out


def test_what_breaks_a_python_does_not_break_it(sh: Shell) -> None:
    code, out, _ = sh("cd / && skill add 1", PYTHONHOME="/nowhere", PYTHONPATH="/nowhere")
    assert (code, out) == (0, "3\n")
    assert sh("skill --list | head -n 1") == (0, "tether_plugins.agent_skills\n", "")
