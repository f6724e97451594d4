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
    assert all(f"\n  {name}  " in text for name in ("debian:SUITE", "busybox", "musl"))
    assert all(f"\n  {code}  " in text for code in (0, 2, 3, 4))


@pytest.mark.parametrize("name", ["alpine", "debian", "debian:", "debian:../..", "musl:1", "--all"])
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
