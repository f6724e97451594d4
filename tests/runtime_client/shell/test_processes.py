"""The processes at a terminal, and those below a shell."""

from __future__ import annotations

import os
import subprocess

from tether_runtime_client.shell.processes import (
    foreground_names,
    group_members,
    in_front,
)


def test_nobody() -> None:
    assert group_members(2**22 + 1, 2**22 + 1) == []
    assert foreground_names(2**22 + 1, 2**22 + 1) == []


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
