"""The command as a whole: help, exit codes of its own failures, and how they are shown."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module

import click
import pytest
from click.testing import CliRunner

from tether_server import CommandNotFound, NotExecutable, SandboxNotFound, TetherError
from tether_server.cli import main as main_module
from tether_server.cli.failures import report_failure
from tether_server.cli.main import COMMANDS, main

from .conftest import Tether, said

HEAVY = ("pydantic", "docker", "rich", "websockets", "sqlite3", "asyncio", "ctypes")


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; from tether_server.cli.main import main; main(['--help']);"
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert said(done.stderr) == "[]\n"
    for name, text in COMMANDS.items():
        assert f"{name} " in said(done.stdout)
        assert text in said(done.stdout)
    assert "125" in said(done.stdout)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert f"Usage: tether {name}" in capsys.readouterr().out
    command: click.Command = import_module(f"tether_server.cli.{name}").command
    assert command.help


def test_without_a_command_it_is_the_help(tether: Tether) -> None:
    done = tether()
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == tether("--help").stdout


def test_version(tether: Tether) -> None:
    done = tether("--version")
    assert (done.returncode, said(done.stdout)) == (0, "tether, version 0.1.0\n")


@pytest.mark.parametrize(
    "arguments",
    [("nope",), ("run", "--nope"), ("run",), ("rm",), ("cp", "a", "b"), ("events", "A B")],
)
def test_wrong_use_is_a_failure_of_its_own(tether: Tether, arguments: tuple[str, ...]) -> None:
    done = tether(*arguments)
    assert done.returncode == 125
    assert said(done.stderr).startswith("tether: ")
    assert "--help says how" in said(done.stderr)
    assert b"Traceback" not in done.stderr


def test_a_slip_in_a_command_s_name_is_told(tether: Tether) -> None:
    assert "no command 'runn'. Did you mean 'run'?" in said(tether("runn", "an-image").stderr)


@pytest.mark.parametrize("arguments", [("run", "--local", "--", "echo", "x"), ("ps",)])
def test_standard_output_that_takes_nothing(tether: Tether, arguments: tuple[str, ...]) -> None:
    with open("/dev/full", "wb") as full:
        done = tether(*arguments, capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 125
    assert said(done.stderr) == (
        "tether: standard output cannot be written: No space left on device\n"
    )


def test_standard_output_that_is_closed(tether: Tether) -> None:
    done = tether("run", "--local", "--", "echo", "x", preexec_fn=lambda: os.close(1))
    assert done.returncode == 125
    assert said(done.stderr) == "tether: standard output cannot be written: Bad file descriptor\n"


def test_completion(tether: Tether) -> None:
    done = tether(env={**os.environ, "_TETHER_COMPLETE": "bash_source"})
    assert b"_tether_completion" in done.stdout


def completed(words: str) -> str:
    environment = {
        "_TETHER_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    return CliRunner().invoke(main_module.tether, prog_name="tether", env=environment).output


def test_names_are_completed(live: object) -> None:
    assert completed("tether events l") == "plain,live\n"


@pytest.mark.engine
@pytest.mark.parametrize("command", ["run", "shell"])
def test_images_are_completed(busybox: str, command: str) -> None:
    assert f"plain,{busybox}\n" in completed(f"tether {command} {busybox[:-1]}")


def test_without_an_engine_no_image_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    assert completed("tether run b").strip() == ""


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("tether cp --links ", "plain,refuse\nplain,keep\nplain,follow\nplain,skip\n"),
        ("tether cp --ex", "plain,--exclude\n"),
        ("tether cp li", "plain,live:\n"),
        ("tether cp here li", "plain,live:\n"),
        ("tether cp ./he", "file,./he\n"),
    ],
)
def test_cp_is_completed(live: object, words: str, offered: str) -> None:
    environment = {
        "_TETHER_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    done = CliRunner().invoke(main_module.tether, prog_name="tether", env=environment)
    assert done.output == offered


@pytest.mark.parametrize(
    ("problem", "code", "text"),
    [
        (SandboxNotFound("no such thing"), 125, "tether: no such thing\n        `tether ps`"),
        (CommandNotFound("no program"), 127, "tether: no program\n"),
        (NotExecutable("no right"), 126, "tether: no right\n"),
        (TetherError("bad \x1b[2J text"), 125, "tether: bad \N{REPLACEMENT CHARACTER}[2J text\n"),
        (OSError("disk"), 125, "tether: disk\n"),
        (RuntimeError("oops"), 125, "tether: this is a bug in tether: RuntimeError: oops\n"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_failures(
    problem: BaseException, code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report_failure(problem, debug=False) == code
    assert capsys.readouterr().err.startswith(text)


def test_a_traceback_is_shown_with_debug_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        raise RuntimeError("oops")

    monkeypatch.setattr("tether_server.cli.ps.take_inventory", broken)
    assert main(["ps"]) == 125
    assert "Traceback" not in capsys.readouterr().err
    assert main(["--debug", "ps"]) == 125
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("exec", "X", "--", "true"),
        ("forward", "../x", "80"),
        ("reverse", "../x", "80"),
        ("rotate", ""),
    ],
)
def test_what_is_no_name_is_told_as_that(
    words: tuple[str, ...], state_dir: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words]) == 125
    told = capsys.readouterr().err
    assert "no sandbox is named like that" in told
    assert "tether ps" in told
    assert "bug" not in told
