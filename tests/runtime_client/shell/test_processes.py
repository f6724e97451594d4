from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tether_runtime_client.shell.processes import (
    end_session,
    foreground_names,
    group_members,
    in_front,
    process_info,
    session_processes,
)

MARKER = f"TETHER_SHELL=test-{os.getpid()}"
NAME, VALUE = MARKER.split("=")


class Leader:
    """A shell script that leads a kernel session and carries the marker."""

    def __init__(self, script: str) -> None:
        self.process = subprocess.Popen(
            ["/bin/bash", "-c", f"{script}\necho ready; exec 1>&-; wait"],
            start_new_session=True,
            env={**os.environ, NAME: VALUE},
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"
        self.process.stdout.close()
        self.pid = self.process.pid


@pytest.fixture
def leaders() -> Iterator[list[Leader]]:
    leaders: list[Leader] = []
    yield leaders
    for leader in leaders:
        for pid in session_processes(leader.pid, MARKER.encode()):
            os.kill(pid, signal.SIGKILL)
        leader.process.wait()


def test_own_line() -> None:
    info = process_info(os.getpid())
    assert info is not None
    assert (info.pid, info.parent, info.session) == (os.getpid(), os.getppid(), os.getsid(0))
    assert info.group == os.getpgrp()
    assert info.state == "R"


def test_nobody() -> None:
    assert process_info(2**22 + 1) is None
    assert group_members(2**22 + 1, 2**22 + 1) == []
    assert foreground_names(2**22 + 1, 2**22 + 1) == []


def test_awkward_names(leaders: list[Leader], tmp_path: object) -> None:
    path = f"{tmp_path}/a) S 1 (b"
    os.symlink("/bin/sleep", path)
    process = subprocess.Popen([path, "60"], start_new_session=True)
    time.sleep(0.05)
    info = process_info(process.pid)
    process.kill()
    process.wait()
    assert info is not None
    assert (info.name, info.group) == ("a) S 1 (b", process.pid)


def test_all_that_belongs_to_a_shell(leaders: list[Leader]) -> None:
    leader = Leader("sleep 60 & setsid sleep 60 & (setsid sleep 60 &) & wait $!; sleep 0.1")
    leaders.append(leader)
    found = session_processes(leader.pid, MARKER.encode())
    assert leader.pid in found
    assert len(found) == 4
    assert os.getpid() not in found


def test_members_and_names(leaders: list[Leader]) -> None:
    leader = Leader("sleep 60 & until [[ $(</proc/$!/comm) == sleep ]]; do :; done")
    leaders.append(leader)
    assert sorted(foreground_names(leader.pid, leader.pid)) == ["bash", "sleep"]
    assert len(in_front(leader.pid, leader.pid)) == 2


@pytest.mark.parametrize(
    "script",
    [
        "",
        "sleep 60 & sleep 60 &",
        "trap '' HUP TERM INT; sleep 60 &",
        "sleep 60 & kill -STOP $!",
        "(setsid sleep 60 &) & wait $!; sleep 0.1",
        "trap '' HUP TERM; (while :; do setsid sleep 60 & sleep 0.02; done) &",
    ],
)
async def test_the_end_of_all(leaders: list[Leader], script: str) -> None:
    leader = Leader(script)
    leaders.append(leader)
    began = time.monotonic()
    assert await end_session([(leader.pid, MARKER.encode())], 2.0) == []
    assert time.monotonic() - began < 2.5
    assert session_processes(leader.pid, MARKER.encode()) == []
    leader.process.wait()
    assert await end_session([(leader.pid, MARKER.encode())], 2.0) == []


async def test_a_polite_end_comes_first(leaders: list[Leader], tmp_path: object) -> None:
    code = (
        "import signal, sys, time\n"
        f"signal.signal(signal.SIGTERM, lambda *_: (open('{tmp_path}/said', 'w'), sys.exit()))\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        f"open('{tmp_path}/up', 'w')\n"
        "time.sleep(60)"
    )
    leader = Leader(f'{sys.executable} -c "{code}" & until [ -e {tmp_path}/up ]; do :; done')
    leaders.append(leader)
    await end_session([(leader.pid, MARKER.encode())], 4.0)
    assert os.path.exists(f"{tmp_path}/said")


async def test_nothing_to_end() -> None:
    assert await end_session([], 1.0) == []
    assert await end_session([(2**22 + 1, b"TETHER_SHELL=none")], 1.0) == []


async def test_the_loop_goes_on(leaders: list[Leader]) -> None:
    leader = Leader("trap '' HUP TERM; sleep 60 &")
    leaders.append(leader)
    ending = asyncio.create_task(end_session([(leader.pid, MARKER.encode())], 2.0))
    turns = 0
    while not ending.done():
        await asyncio.sleep(0.005)
        turns += 1
    assert turns > 5
