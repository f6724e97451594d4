"""The command, as a user calls it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tether_image_builder import BuildProgress
from tether_image_builder.cli import EXIT_CODES, main
from tether_image_builder.display import LiveDisplay, PlainDisplay, open_display


@pytest.fixture
def runner() -> CliRunner:
    return CliRunner()


def test_help_documents_every_exit_code(runner: CliRunner) -> None:
    result = runner.invoke(main, ["--help"])
    assert result.exit_code == 0
    assert all(f"\n    {code}  " in result.stdout for code in EXIT_CODES.values())


@pytest.mark.parametrize(
    "arguments", [[], ["debian", "--env", "conda"], ["debian", "--tag", "No Name"]]
)
def test_wrong_usage(runner: CliRunner, arguments: list[str]) -> None:
    assert runner.invoke(main, arguments).exit_code == 2


def test_no_engine(runner: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    result = runner.invoke(main, ["debian"])
    assert result.exit_code == 3
    assert "unix:///nowhere/docker.sock" in result.stderr
    assert "docker/engine start" in result.stderr
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
    terminal = Terminal()
    with open_display(terminal) as display:
        assert isinstance(display, LiveDisplay)
        display(BuildProgress("pull", "pulling app", 5_000_000, 10_000_000))
        display(BuildProgress("build", "COPY", 1, 2))
        display(BuildProgress("done", "app_tether:1 made"))
    assert "app_tether:1 made\n" in terminal.getvalue()


def test_elsewhere_progress_is_lines(tmp_path: Path) -> None:
    stream = io.StringIO()
    with open_display(stream) as display:
        assert isinstance(display, PlainDisplay)
        for current in (1, 2):
            display(BuildProgress("pull", "pulling app", current, 2))
        display(BuildProgress("done", "app_tether:1 made"))
    assert stream.getvalue() == "pull: pulling app\ndone: app_tether:1 made\n"
