"""What /proc says of processes, read as it is."""

from __future__ import annotations

import os
import subprocess
import time

from tether_runtime_client.shell.processes import (
    foreground_names,
    group_members,
    in_front,
    process_info,
)


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


def test_awkward_names(tmp_path: object) -> None:
    path = f"{tmp_path}/a) S 1 (b"
    os.symlink("/bin/sleep", path)
    process = subprocess.Popen([path, "60"], start_new_session=True)
    time.sleep(0.05)
    info = process_info(process.pid)
    process.kill()
    process.wait()
    assert info is not None
    assert (info.name, info.group) == ("a) S 1 (b", process.pid)


def test_members_and_names() -> None:
    script = "sleep 60 & until [[ $(</proc/$!/comm) == sleep ]]; do :; done; echo ready; wait"
    leader = subprocess.Popen(
        ["/bin/bash", "-c", script], start_new_session=True, stdout=subprocess.PIPE
    )
    assert leader.stdout is not None
    assert leader.stdout.readline() == b"ready\n"
    assert sorted(foreground_names(leader.pid, leader.pid)) == ["bash", "sleep"]
    assert len(in_front(leader.pid, leader.pid)) == 2
    os.killpg(leader.pid, 9)
    leader.wait()
    leader.stdout.close()
