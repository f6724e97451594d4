"""A stranger's plugin: its own tests, and its use in images, with no change in our packages."""

from __future__ import annotations

import subprocess
import sys

import pytest

from .conftest import EXAMPLE


@pytest.mark.xdist_group("port-4180")
def test_its_own_tests_pass(environment: dict[str, str]) -> None:
    without = [word for plugin in ("cacheprovider", "asyncio") for word in ("-p", f"no:{plugin}")]
    command = ["pytest", "-q", *without, "-c", "pyproject.toml", "tests"]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", *command],
        cwd=EXAMPLE,
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
