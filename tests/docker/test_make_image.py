"""`docker/images/make-image`: what it takes, what it prints, what it leaves alone."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "docker" / "images" / "make-image"


def make_image(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPT, *arguments], capture_output=True, text=True)


def test_help_documents_names_and_exit_codes() -> None:
    text = make_image("--help").stdout
    names = ("debian:SUITE", "debian-tools:SUITE", "busybox", "musl")
    assert all(f"\n  {name}  " in text for name in names)
    assert all(f"\n  {code}  " in text for code in (0, 2, 3, 4))


WRONG = [
    *("alpine", "debian", "debian:", "debian:../..", "debian-tools", "debian-tools:", "musl:1"),
    "--all",
]


@pytest.mark.parametrize("name", WRONG)
def test_wrong_usage(name: str) -> None:
    result = make_image(name)
    assert result.returncode == 2
    assert "Usage:" in result.stderr


@pytest.mark.engine
def test_what_is_there_is_left_alone(engine: str) -> None:
    assert make_image("busybox").returncode == 0
    again = make_image("--print-tag", "busybox")
    assert again.stdout == "tether-test/busybox:latest\n"
    assert "is there already" in again.stderr


@pytest.mark.engine
def test_an_image_with_tools_has_them(engine: str) -> None:
    name = "debian-tools:bookworm"
    tag = make_image("--print-tag", name).stdout.strip()
    assert tag == f"tether-test/{name}"
    tools = "curl flock git ip less node python3 screen script ssh sshd su sudo tmux top vi"
    look = f"for tool in {tools}; do command -v $tool >/dev/null || echo $tool; done"
    seen = subprocess.run(
        ["docker", "run", "--rm", "--network=none", tag, "sh", "-c", look],
        capture_output=True,
        text=True,
    )
    assert (seen.returncode, seen.stdout) == (0, ""), seen.stderr
