"""Fixtures that every test may use. What is here is real: a real engine, real containers."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tether_plugins.browser.place import PROGRAMS

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
def ripgrep() -> str:
    """The path of ripgrep: the machine's own, or Debian's, kept where the base images are."""
    own = shutil.which("rg")
    if own is not None:
        return own
    folder = _cache() / "ripgrep"
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "usr" / "bin" / "rg"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            get = "apt-get -qq download ripgrep"
            script = f"({get} || (apt-get -qq update && {get})) && dpkg-deb -x *.deb ."
            subprocess.run(["sh", "-c", script], cwd=folder, check=True)
    return str(program)


def _cache() -> Path:
    """As docker/images/make-image has it."""
    own = os.environ.get("TETHER_CACHE_DIR")
    users = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(own) if own else Path(users) / "tether"


@pytest.fixture
def memory_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: for very many files, which disks take long to make
    and to remove.
    """
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tmp_path
    folder = Path(tempfile.mkdtemp(prefix="tether-test-", dir=memory))
    yield folder
    subprocess.run(["rm", "-rf", folder], check=True)  # also what is too deep for Python


@pytest.fixture(scope="session")
def chromium() -> str:
    """The machine's Chromium, which is installed if it has none. Without it, as root: a failure."""
    done = subprocess.run([ROOT / "docker" / "chromium"], capture_output=True, text=True)
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        if os.geteuid() == 0:
            pytest.fail(done.stderr)
        pytest.skip(done.stderr)
    return found


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
