"""`tether events`: the history of a sandbox that runs, and of one that is gone."""

from __future__ import annotations

import json
from pathlib import Path

from tether_server import CmdRunAction, SyncEventStreamRuntime
from tether_server.record import sandbox_folder

from .conftest import StartTether, Tether, said


def test_after_the_end(tether: Tether) -> None:
    with SyncEventStreamRuntime(backend="local", name="past") as runtime:
        runtime.run(CmdRunAction(command="printf 'a\\033[2Jb'"))
    count = runtime.events.last_seq
    done = tether("events", "past")
    lines = said(done.stdout).splitlines()
    assert (done.returncode, len(lines)) == (0, count)
    assert any("→ default $ printf" in line for line in lines)
    assert any("a\\e[2Jb" in line for line in lines)
    assert "\x1b" not in said(done.stdout)
    assert lines[-1].endswith("sandbox stopped: the runtime was closed")


def test_json_and_since(tether: Tether, live: SyncEventStreamRuntime) -> None:
    live.run(CmdRunAction(command="true"))
    last = live.events.last_seq
    lines = said(tether("events", "live", "--json", "--since", str(last - 2)).stdout).splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["seq"] for event in events] == [last - 1, last]
    assert events[-1]["exit_code"] == 0


def test_follow_goes_on_until_the_sandbox_ends(
    live: SyncEventStreamRuntime, start_tether: StartTether
) -> None:
    process = start_tether("events", "live", "--follow", "--json")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["seq"] == 1
    live.run(CmdRunAction(command="echo seen"))
    for line in process.stdout:
        if json.loads(line).get("content") == "seen\n":
            break
    live.close()
    last = [json.loads(line) for line in process.stdout][-1]
    assert last["event"] == "sandbox_stopped"
    assert process.wait(60) == 0


def test_follow_ends_when_the_sandbox_is_removed(
    live: SyncEventStreamRuntime, start_tether: StartTether, tether: Tether
) -> None:
    process = start_tether("events", "live", "-f")
    assert process.stdout is not None
    process.stdout.readline()
    live.close(keep=True)
    assert tether("rm", "live").returncode == 0
    assert process.wait(60) == 0


def test_a_reader_that_leaves(live: SyncEventStreamRuntime, start_tether: StartTether) -> None:
    process = start_tether("events", "live", "-f")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    for _ in range(20):
        live.run(CmdRunAction(command="echo more"))
    assert process.wait(60) == 141


def test_no_such_history(tether: Tether, state_dir: Path) -> None:
    done = tether("events", "nobody")
    assert done.returncode == 125
    assert "no history of a sandbox named 'nobody'" in said(done.stderr)
    assert not sandbox_folder("nobody").exists()
