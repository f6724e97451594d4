"""`docker/engine` against engines of its own: private ones, which leave the shared one alone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "docker" / "engine"
PATIENCE_S = "3"


@dataclass
class PrivateEngine:
    """The script with a folder of its own for everything that an engine keeps."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, command: str = "start", **extra: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **self.environment, **extra}
        return subprocess.run(
            [SCRIPT, command],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
        )

    @property
    def pid_file(self) -> Path:
        return self.root / "docker.pid"

    @property
    def pid(self) -> int:
        return int(self.pid_file.read_text())

    @property
    def containerd_pid(self) -> int:
        return int((self.root / "exec/containerd/containerd.pid").read_text())


@pytest.fixture
def private(engine: str) -> Iterator[PrivateEngine]:
    """A private engine that is not running yet; a short path, for its sockets."""
    if os.geteuid() != 0:
        pytest.skip("starting an engine needs root")
    root = Path(tempfile.mkdtemp(prefix="engine-", dir="/tmp"))
    environment = {"TETHER_ENGINE_ROOT": str(root), "TETHER_ENGINE_PATIENCE": PATIENCE_S}
    private = PrivateEngine(root, environment)
    yield private
    stopped = private.run("stop")
    shutil.rmtree(root)
    assert stopped.returncode == 0, stopped.stderr


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_help_documents_the_exit_codes() -> None:
    result = subprocess.run([SCRIPT, "--help"], capture_output=True, text=True, check=True)
    assert "Exit codes:" in result.stdout
    assert all(f"\n  {code}  " in result.stdout for code in range(7))


@pytest.mark.parametrize("arguments", [["begin"], ["start", "now"]])
def test_wrong_usage(arguments: list[str]) -> None:
    result = subprocess.run([SCRIPT, *arguments], capture_output=True, text=True)
    assert result.returncode == 2
    assert "Usage:" in result.stderr


def test_an_engine_elsewhere_is_not_started_here() -> None:
    environment = {**os.environ, "DOCKER_HOST": "unix:///nowhere/docker.sock"}
    result = subprocess.run([SCRIPT], env=environment, capture_output=True, text=True)
    assert result.returncode == 3
    assert "unset DOCKER_HOST" in result.stderr


def test_without_root_it_says_what_to_do() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to become somebody else")
    # A copy, because the checkout may be closed to others.
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        copy = shutil.copy(SCRIPT, folder)
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", copy, "start"]
        environment = {name: value for name, value in os.environ.items() if name != "DOCKER_HOST"}
        result = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True)
    assert result.returncode == 3
    assert "sudo" in result.stderr


def test_a_path_too_long_for_a_socket(tmp_path: Path) -> None:
    environment = {**os.environ, "TETHER_ENGINE_ROOT": str(tmp_path / ("x" * 80))}
    result = subprocess.run([SCRIPT], env=environment, capture_output=True, text=True)
    assert result.returncode == 3
    assert "too long" in result.stderr


@pytest.mark.engine
def test_a_life(private: PrivateEngine) -> None:
    bridge = Path("/sys/class/net/docker0").exists()
    assert private.run("status").returncode == 1
    assert private.run("start").returncode == 0
    pid = private.pid
    assert "nothing to do" in private.run("start").stderr
    assert private.pid == pid
    assert private.run("status").returncode == 0
    assert "API listen on" in private.run("logs").stdout
    assert private.run("stop").returncode == 0
    assert not is_running(pid)
    assert private.run("status").returncode == 1
    assert "nothing to do" in private.run("stop").stderr
    assert Path("/sys/class/net/docker0").exists() == bridge  # the shared engine's


@pytest.mark.engine
def test_the_daemon_holds_none_of_the_callers_descriptors(private: PrivateEngine) -> None:
    reader, writer = os.pipe()
    environment = {**os.environ, **private.environment}
    with tempfile.TemporaryFile() as output:
        subprocess.run(
            [SCRIPT], env=environment, stderr=output, pass_fds=[writer], check=True, timeout=60
        )
    os.close(writer)
    assert os.read(reader, 1) == b""  # end of file: nobody has the other end
    os.close(reader)
    assert os.getsid(private.pid) == private.pid


@pytest.mark.engine
def test_a_stale_pid_file(private: PrivateEngine) -> None:
    private.pid_file.write_text(str(os.getpid()))
    result = private.run("start")
    assert result.returncode == 0, result.stderr
    assert "stale pid file" in result.stderr
    assert private.pid != os.getpid()


@pytest.mark.engine
def test_what_a_killed_engine_leaves(private: PrivateEngine) -> None:
    assert private.run("start").returncode == 0
    killed, containerd = private.pid, private.containerd_pid
    os.kill(killed, signal.SIGKILL)
    result = private.run("start")
    assert result.returncode == 0, result.stderr
    assert private.pid != killed
    assert not is_running(containerd)
    assert private.run("status").returncode == 0


@pytest.mark.engine
@pytest.mark.parametrize("frozen", ["pid", "containerd_pid"])
def test_a_half_dead_engine_is_replaced(private: PrivateEngine, frozen: str) -> None:
    assert private.run("start").returncode == 0
    pid = private.pid
    os.kill(getattr(private, frozen), signal.SIGSTOP)
    assert private.run("status").returncode == 1
    result = private.run("start")
    assert result.returncode == 0, result.stderr
    assert "half dead" in result.stderr
    assert not is_running(pid)
    assert private.run("status").returncode == 0


@pytest.mark.engine
def test_two_starts_at_once_give_one_engine(private: PrivateEngine) -> None:
    environment = {**os.environ, **private.environment}
    runs = [
        subprocess.Popen([SCRIPT], env=environment, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [run.communicate(timeout=60)[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert sum("starting dockerd" in output for output in outputs) == 1


@pytest.mark.engine
def test_a_daemon_that_cannot_start_shows_its_log(private: PrivateEngine) -> None:
    result = private.run("start", TETHER_ENGINE_ARGS="--no-such-flag")
    assert result.returncode == 5
    assert "no-such-flag" in result.stderr
