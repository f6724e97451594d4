"""Fixtures that every test may use. What is here is real: a real engine, real containers."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DEBIAN = "tether-test/debian:bookworm"
TOOLS = "tether-test/debian-tools:bookworm"
BUSYBOX = "tether-test/busybox:latest"


SHARING = (ROOT / "tests" / "behaviours", ROOT / "tests" / "parity")
"""Where tests share runtimes, which live on one loop."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests that share something live on its loop."""
    for item in items:
        if any(map(item.path.is_relative_to, SHARING)) and item.get_closest_marker("asyncio"):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture(autouse=True)
def state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of the test's own, so that tests know nothing of each other's sandboxes."""
    folder = tmp_path / "state"
    monkeypatch.setenv("TETHER_STATE_DIR", str(folder))
    return folder


@pytest.fixture(scope="session")
def ripgrep(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of ripgrep: the machine's own, or Debian's unpacked into a folder of the tests."""
    own = shutil.which("rg")
    if own is not None:
        return own
    folder = tmp_path_factory.mktemp("ripgrep")
    script = "apt-get -qq download ripgrep || (apt-get -qq update && apt-get -qq download ripgrep)"
    subprocess.run(["sh", "-c", f"({script}) && dpkg-deb -x *.deb ."], cwd=folder, check=True)
    return str(folder / "usr" / "bin" / "rg")


@pytest.fixture(scope="session")
def engine() -> str:
    """A container engine that answers. As root its absence is a failure, else a skip."""
    if subprocess.run([ROOT / "docker" / "engine", "status"], capture_output=True).returncode:
        message = "no container engine answers (docker/engine start)"
        if os.geteuid() == 0:
            pytest.fail(message)
        pytest.skip(message)
    return "docker"


@pytest.fixture(scope="session")
def debian(engine: str) -> str:
    """A plain Debian image."""
    return _image("debian:bookworm", DEBIAN)


@pytest.fixture(scope="session")
def tools(engine: str) -> str:
    """A Debian with an editor, a pager, top, tmux, ssh, sudo, git, Python and Node."""
    return _image("debian-tools:bookworm", TOOLS)


@pytest.fixture(scope="session")
def busybox(engine: str) -> str:
    """An image with one static binary and no libraries."""
    return _image("busybox", BUSYBOX)


def _image(name: str, tag: str) -> str:
    subprocess.run([ROOT / "docker" / "images" / "make-image", name], check=True)
    return tag
