"""Looking at processes: who is there, who descends from whom, and hitting exactly the one meant."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tether_runtime_client.proctree import (
    Process,
    descendants,
    kill_all,
    read_process,
    send,
    snapshot,
)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "987"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def test_process_as_it_is(sleeper: subprocess.Popen[bytes]) -> None:
    found = read_process(sleeper.pid)
    assert found
    assert (found.ppid, found.group, found.sid) == (os.getpid(), sleeper.pid, sleeper.pid)
    assert found.alive
    assert found.key == (sleeper.pid, found.started)
    assert snapshot()[sleeper.pid].key == found.key
    assert str(sleeper.pid) in repr(found)


def test_own_line() -> None:
    info = read_process(os.getpid())
    assert info is not None
    assert (info.pid, info.ppid, info.sid) == (os.getpid(), os.getppid(), os.getsid(0))
    assert info.group == os.getpgrp()
    assert info.state == "R"


def test_awkward_names(tmp_path: object) -> None:
    path = f"{tmp_path}/a) S 1 (b"
    os.symlink("/bin/sleep", path)
    process = subprocess.Popen([path, "60"], start_new_session=True)  # returns after the exec
    info = read_process(process.pid)
    process.kill()
    process.wait()
    assert info is not None
    assert (info.name, info.group) == ("a) S 1 (b", process.pid)


def test_name_with_brackets_and_spaces(tmp_path: object) -> None:
    code = "import ctypes, sys; ctypes.CDLL(None).prctl(15, b') Z 1 (x'); print(); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as process:  # type: ignore[call-overload]
        process.stdout.readline()
        found = read_process(process.pid)
        assert found
        assert found.ppid == os.getpid()
        assert found.alive
        process.stdin.close()


def test_ended_and_gone() -> None:
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    found = read_process(process.pid)
    assert found
    assert not found.alive
    process.wait()
    assert read_process(process.pid) is None
    assert read_process(2**22 + 1) is None
    assert not send(found, signal.SIGTERM)


def tree(*pairs: tuple[int, int]) -> dict[int, Process]:
    return {pid: Process(pid, "S", ppid, pid, pid, 1) for pid, ppid in pairs}


def test_descendants_and_what_is_spared() -> None:
    processes = tree((1, 0), (2, 1), (3, 1), (4, 2), (5, 4), (6, 3), (9, 0), (10, 9))
    assert sorted(p.pid for p in descendants([1], processes)) == [2, 3, 4, 5, 6]
    assert sorted(p.pid for p in descendants([1], processes, spare=(2,))) == [3, 6]
    assert sorted(p.pid for p in descendants([2, 9], processes)) == [4, 5, 10]
    assert descendants([5], processes) == []


@pytest.mark.parametrize("refused", [None, 38, 1])
def test_send_hits_only_the_process_meant(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, refused: int | None
) -> None:
    """With pidfds, and where the kernel or a seccomp profile has none."""
    if refused is not None:

        def refuse(pid: int) -> int:
            raise OSError(refused, "refused")

        monkeypatch.setattr(os, "pidfd_open", refuse)
    found = read_process(sleeper.pid)
    assert found
    found.started -= 1  # an earlier process with this pid
    assert not send(found, signal.SIGKILL)
    assert sleeper.poll() is None
    found.started += 1
    assert send(found, signal.SIGKILL)
    assert sleeper.wait(5) == -signal.SIGKILL


def test_kill_all_leaves_others_of_the_group(sleeper: subprocess.Popen[bytes]) -> None:
    other = subprocess.Popen(["sleep", "987"], process_group=0)
    try:
        mate = subprocess.Popen(["sleep", "987"], process_group=other.pid)
        found = kill_all(lambda processes: [processes[mate.pid]])
        assert [process.pid for process in found] == [mate.pid]
        assert mate.wait(5) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
