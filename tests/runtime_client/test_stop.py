from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tether_runtime_client import session_registry
from tether_runtime_client.stop import STILL_THERE, register_self, stop

DEAF = "import signal; signal.signal(15, signal.SIG_IGN); print(flush=True); signal.pause()"


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path / "state" / "supervisor")


def test_it_ends_who_has_registered(folder: str) -> None:
    with subprocess.Popen(["sleep", "987"]) as process:
        session_registry.register(folder, process.pid)
        assert stop(folder) == 0
        assert process.wait(5) == -signal.SIGTERM
        assert stop(folder) == 0  # twice is safe


def test_it_does_not_wait_for_ever(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    with subprocess.Popen([sys.executable, "-c", DEAF], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        session_registry.register(folder, process.pid)
        assert stop(folder, limit_s=0.1) == STILL_THERE
        process.kill()
    assert f"pid {process.pid}" in capsys.readouterr().err


def test_nobody_is_there(folder: str) -> None:
    assert stop(folder) == 0


def test_a_process_with_a_pid_that_was_used_before_is_spared(folder: str) -> None:
    register_self(folder)
    path = Path(folder) / str(os.getpid())
    started, life = path.read_text().split(" ", 1)
    path.write_text(f"{int(started) - 1} {life}")
    assert stop(folder) == 0  # and this test lives on


def test_registering_forgets_who_was_there_before_and_lets_nobody_in(folder: str) -> None:
    with subprocess.Popen(["sleep", "987"]) as process:
        Path(folder).parent.mkdir(mode=0o700)
        session_registry.register(folder, process.pid)
        register_self(folder)
        assert list(session_registry.registered(folder)) == [os.getpid()]
        assert Path(folder).parent.stat().st_mode & 0o077 == 0
        process.kill()


def test_on_the_command_line(folder: str) -> None:
    with subprocess.Popen(["sleep", "987"]) as process:
        session_registry.register(folder, process.pid)
        command = [sys.executable, "-m", "tether_runtime_client", "stop", folder]
        assert subprocess.run(command, check=False).returncode == 0
        assert process.wait(5) == -signal.SIGTERM
