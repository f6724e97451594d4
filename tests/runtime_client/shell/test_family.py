"""All of a session's processes are found and ended, whatever they did to be on their own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tether_runtime_client.proctree import Process, kill_all, snapshot
from tether_runtime_client.shell.family import Family
from tether_runtime_client.shell.mark import VARIABLE


class Leader:
    """A script that leads a kernel session and carries the mark, as a session's shell does."""

    def __init__(self, script: str) -> None:
        self.family = Family()
        mark = self.family.mark
        self.process = subprocess.Popen(
            ["/bin/bash", "-c", f"{script}\necho ready; exec 1>&-; read"],
            start_new_session=True,
            env={**os.environ, VARIABLE: mark.value},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=mark.put_on,
        )
        assert self.process.stdout is not None
        self.family.add(self.process.pid)
        assert self.process.stdout.readline() == b"ready\n"
        self.process.stdout.close()
        self.pid = self.process.pid

    def alive(self) -> list[Process]:
        """What of it lives, the leader included."""
        return [one for one in self.family.find(snapshot()) if one.alive]

    def end(self) -> None:
        """By force, for the end of a test."""
        kill_all(self.family.find)
        self.process.wait()
        assert self.process.stdin is not None
        self.process.stdin.close()


@pytest.fixture
def leaders() -> Iterator[list[Leader]]:
    leaders: list[Leader] = []
    yield leaders
    for leader in leaders:
        leader.end()


UNMARK = "ulimit -x 7; exec env -i setsid"
HIDDEN = {
    "in the background": "sleep 60 &",
    "its own kernel session": "setsid sleep 60 &",
    "an orphan": "(sleep 60 &)",
    "a daemon": "(setsid setsid sleep 60 >/dev/null 2>&1 </dev/null &)",
    "without its environment": "(env -i setsid setsid sleep 60 &)",
    "without any mark": f"({UNMARK} setsid sleep 60 &)",
    "nohup": "nohup sleep 60 >/dev/null 2>&1 &",
    "deep": 'bash -c \'bash -c "bash -c \\"sleep 60; :\\"; :"; :\' &',
}


@pytest.mark.parametrize("script", HIDDEN.values(), ids=HIDDEN.keys())
async def test_what_hides_is_found_and_ended(leaders: list[Leader], script: str) -> None:
    leader = Leader(f"{script}\nsleep 0.1")
    leaders.append(leader)
    found = leader.alive()
    assert leader.pid in {process.pid for process in found}
    assert len(found) > 1
    assert os.getpid() not in {process.pid for process in found}
    assert await leader.family.end(2.0) == []
    assert leader.alive() == []


ORPHANED = {name: HIDDEN[name] for name in HIDDEN if name != "without any mark"}


@pytest.mark.parametrize("script", ORPHANED.values(), ids=ORPHANED.keys())
async def test_it_is_found_when_the_shell_is_gone(leaders: list[Leader], script: str) -> None:
    leader = Leader(f"trap '' HUP\n{script}\nsleep 0.1")
    leaders.append(leader)
    leader.process.kill()
    leader.process.wait()
    assert leader.alive()
    assert await leader.family.end(2.0) == []
    assert leader.alive() == []


STUBBORN = {
    "nothing": "",
    "two": "sleep 60 & sleep 60 &",
    "ignores signals": "trap '' HUP TERM INT; sleep 60 &",
    "stopped": "sleep 60 & kill -STOP $!",
    "starts daemons": "trap '' HUP TERM; (while :; do setsid sleep 60 & sleep 0.02; done) &",
}


@pytest.mark.parametrize("script", STUBBORN.values(), ids=STUBBORN.keys())
async def test_the_end_of_all(leaders: list[Leader], script: str) -> None:
    leader = Leader(script)
    leaders.append(leader)
    began = time.monotonic()
    assert await leader.family.end(2.0) == []
    assert time.monotonic() - began < 2.5
    assert leader.alive() == []
    leader.process.wait()
    assert await leader.family.end(2.0) == []


async def test_a_polite_end_comes_first(leaders: list[Leader], tmp_path: Path) -> None:
    code = (
        "import signal, sys, time\n"
        f"signal.signal(signal.SIGTERM, lambda *_: (open('{tmp_path}/said', 'w'), sys.exit()))\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        f"open('{tmp_path}/up', 'w')\n"
        "time.sleep(60)"
    )
    leader = Leader(f'{sys.executable} -c "{code}" & until [ -e {tmp_path}/up ]; do :; done')
    leaders.append(leader)
    await leader.family.end(4.0)
    assert (tmp_path / "said").exists()


async def test_one_of_two_shells(leaders: list[Leader]) -> None:
    """The end of one leaves what another one of the session has started."""
    leader = Leader("sleep 60 & (setsid sleep 60 &); sleep 0.1")
    leaders.append(leader)
    mark = leader.family.mark
    other = subprocess.Popen(["sleep", "60"], start_new_session=True, preexec_fn=mark.put_on)
    leader.family.add(other.pid)
    assert await leader.family.end_shell(leader.pid, 2.0) == []
    assert [process.pid for process in leader.alive()] == [other.pid]
    other.kill()
    other.wait()


async def test_another_family_is_left_alone(leaders: list[Leader]) -> None:
    one, other = Leader("sleep 60 &"), Leader("(env -i setsid sleep 60 &); sleep 0.1")
    leaders += [one, other]
    before = {process.key for process in other.alive()}
    await one.family.end(2.0)
    assert {process.key for process in other.alive()} == before


THREADED = """
import ctypes, platform, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
leave = 60 if platform.machine() == "x86_64" else 93
ctypes.CDLL(None).syscall(leave, 0)  # the first thread ends, and only that
"""


async def test_a_process_whose_first_thread_has_ended(leaders: list[Leader]) -> None:
    """It looks like one that has ended, and goes on."""
    leader = Leader(f"setsid {sys.executable} -c '{THREADED}' & sleep 0.5")
    leaders.append(leader)
    (process,) = [one for one in leader.alive() if one.pid != leader.pid]
    assert (process.state, process.threads) == ("Z", 2)
    assert await leader.family.end(2.0) == []
    assert leader.alive() == []


async def test_nothing_to_end() -> None:
    family = Family()
    assert await family.end(1.0) == []
    family.add(2**22 + 1)
    assert family.shells() == []
    assert await family.end(1.0) == []


async def test_the_loop_goes_on(leaders: list[Leader]) -> None:
    leader = Leader("trap '' HUP TERM; sleep 60 &")
    leaders.append(leader)
    ending = asyncio.create_task(leader.family.end(2.0))
    turns = 0
    while not ending.done():
        await asyncio.sleep(0.005)
        turns += 1
    assert turns > 5
