"""The command, as a user calls it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from tether_image_builder import BuildProgress
from tether_image_builder.cli import main
from tether_image_builder.display import LiveDisplay, PlainDisplay, open_display
from tether_image_builder.exits import EXIT_CODES
from tether_runtime_client.version import VERSION


@pytest.fixture
def runner() -> CliRunner:
    return CliRunner()


def test_help_documents_every_exit_code(runner: CliRunner) -> None:
    result = runner.invoke(main, ["--help"])
    assert result.exit_code == 0
    assert all(f"\n    {code}  " in result.stdout for code in EXIT_CODES.values())
    assert runner.invoke(main, ["--version"]).stdout == f"runtime-build, version {VERSION}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["debian", "--env", "conda"],
        ["debian", "--tag", "No Name"],
        ["debian", "--platform", "PDP 11"],
        ["debian", "--platform", "windows"],
        ["debian", "--tag", "docker.io/library/debian:latest"],
        ["debian", "--build-arg", "=1"],
        ["debian", "--ca-certificate", "/nowhere"],
        ["debian", "--ca-certificate", "/etc/passwd"],
        ["prune", "--older-than", "long"],
        ["prune", "--older-than", ""],
    ],
)
def test_wrong_usage(runner: CliRunner, arguments: list[str]) -> None:
    result = runner.invoke(main, arguments)
    assert (result.exit_code, result.stdout) == (2, "")


def test_prune_is_a_command_of_its_own(runner: CliRunner) -> None:
    result = runner.invoke(main, ["prune", "--help"])
    assert "--older-than" in result.stdout
    assert "DURATION" not in runner.invoke(main, ["--help"]).stdout


def completions(words: list[str], incomplete: str) -> list[str]:
    shell = ShellComplete(main, {}, "runtime-build", "_RUNTIME_BUILD_COMPLETE")
    return [item.value for item in shell.get_completions(words, incomplete)]


def test_the_shell_completes_options_and_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    assert completions([], "--platf") == ["--platform"]
    assert completions([], "pr") == ["prune"]
    assert completions(["prune"], "--ol") == ["--older-than"]


@pytest.mark.engine
def test_the_shell_completes_images(busybox: str) -> None:
    assert busybox in completions([], busybox[:-1])


def test_no_engine(runner: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    result = runner.invoke(main, ["debian"])
    assert result.exit_code == 3
    assert "unix:///nowhere/docker.sock" in result.stderr
    assert "unset DOCKER_HOST" in result.stderr
    assert result.stdout == ""


@pytest.mark.engine
def test_a_dry_run_prints_what_would_be_built(
    runner: CliRunner, busybox: str, still_code: dict[str, bytes]
) -> None:
    result = runner.invoke(main, [busybox, "--dry-run"])
    assert result.exit_code == 0, result.stderr
    comment, first = result.stdout.splitlines()[:2]
    assert comment.startswith(f"# {busybox.partition(':')[0]}_tether:")
    assert first.startswith("FROM sha256:")


@pytest.mark.engine
def test_a_dry_run_pulls_nothing(runner: CliRunner, engine: str) -> None:
    result = runner.invoke(main, ["tether-test/no-such-image", "--dry-run"])
    assert result.exit_code == 4
    assert "pulls nothing" in result.stderr


@pytest.mark.engine
def test_standard_output_is_the_name(
    runner: CliRunner, busybox: str, still_code: dict[str, bytes], names: list[str]
) -> None:
    result = runner.invoke(main, [busybox])
    assert result.exit_code == 0, result.stderr
    names.append(result.stdout.strip())
    assert result.stdout.count("\n") == 1
    assert "done: " in result.stderr

    again = runner.invoke(main, [busybox, "--output", "json"])
    described = json.loads(again.stdout)
    assert (described["tag"], described["reused"]) == (result.stdout.strip(), True)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_progress_is_live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("CI", raising=False)
    terminal = Terminal()
    with open_display(terminal) as display:
        assert isinstance(display, LiveDisplay)
        display(BuildProgress("pull", "pulling app", 5_000_000, 10_000_000))
        display(BuildProgress("build", "COPY", 1, 2))
        display(BuildProgress("done", "app_tether:1 made"))
    assert "app_tether:1 made\n" in terminal.getvalue()


@pytest.mark.parametrize(("name", "value"), [("CI", "true"), ("TERM", "dumb")])
def test_where_a_log_is_kept_no_line_is_written_over(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with open_display(Terminal()) as display:
        assert isinstance(display, PlainDisplay)


def test_elsewhere_progress_is_lines(tmp_path: Path) -> None:
    stream = io.StringIO()
    with open_display(stream) as display:
        assert isinstance(display, PlainDisplay)
        for current in (1, 2):
            display(BuildProgress("pull", "pulling app", current, 2))
        for line in ("make", "cc a.c", "cc b.c"):
            display(BuildProgress("steps", line, 1, 2))
        display(BuildProgress("steps", "a -> /a", 2, 2))
        display(BuildProgress("build", 'LABEL     "tether.base"="sha256:0"'))
        display(BuildProgress("done", "app_tether:1 made"))
    assert stream.getvalue() == (
        "pull: pulling app\nstep 1/2: make\n  cc a.c\n  cc b.c\nstep 2/2: a -> /a\n"
        "done: app_tether:1 made\n"
    )
