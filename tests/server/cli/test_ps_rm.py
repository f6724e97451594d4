"""`tether ps` and `tether rm`: what there is, and that it goes away."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tether_server import CmdRunAction, SandboxStopped, SyncEventStreamRuntime
from tether_server.inventory import Listed, take_inventory
from tether_server.record import SandboxRecord, list_records, sandbox_folder, state_folder

from .conftest import Tether, is_gone, said


def listed(tether: Tether, *arguments: str) -> list[dict[str, Any]]:
    """The sandboxes of this test: others may run on the same engine."""
    found: list[dict[str, Any]] = json.loads(tether("ps", "--json", *arguments).stdout)
    return [sandbox for sandbox in found if sandbox["recorded"] or not sandbox["container"]]


def test_nothing(tether: Tether) -> None:
    assert listed(tether) == []
    assert said(tether("ps").stdout).startswith("NAME  ")


def test_a_live_sandbox(tether: Tether, live: SyncEventStreamRuntime) -> None:
    (found,) = listed(tether)
    assert found["name"] == "live"
    assert (found["backend"], found["state"], found["orphan"]) == ("local", "running", False)
    assert found["server_pid"]
    assert 0 <= found["age_s"] < 60
    (row,) = [r for r in said(tether("ps").stdout).splitlines() if r.startswith("live ")]
    assert row.split()[:4] == ["live", "local", "-", "running"]


def test_a_kept_and_an_orphaned_one(
    tether: Tether, kept: SandboxRecord, orphan: SandboxRecord
) -> None:
    found = {sandbox["name"]: sandbox for sandbox in listed(tether)}
    assert (found["kept"]["keep"], found["kept"]["orphan"]) == (True, False)
    assert (found["orphan"]["keep"], found["orphan"]["orphan"]) == (False, True)
    rows = {row.split()[0]: row for row in said(tether("ps").stdout).splitlines()}
    assert rows["kept"].endswith("  kept")
    assert rows["orphan"].endswith("  orphan")
    assert "orphan\n" in said(tether("ps", "-q").stdout)


def test_ended_ones_are_listed_on_request(tether: Tether) -> None:
    with SyncEventStreamRuntime(backend="local", name="past"):
        pass
    assert listed(tether) == []
    (found,) = listed(tether, "--all")
    assert (found["name"], found["state"]) == ("past", "ended")


def test_rm_stops_a_sandbox_and_deletes_its_history(tether: Tether, kept: SandboxRecord) -> None:
    done = tether("rm", "kept")
    assert (done.returncode, said(done.stdout)) == (0, "removed sandbox kept\n")
    assert is_gone(kept)
    assert not sandbox_folder("kept").exists()


def test_rm_twice_is_no_error(tether: Tether) -> None:
    done = tether("rm", "nobody", "nobody")
    assert (done.returncode, said(done.stderr)) == (0, "there is no sandbox nobody\n")
    assert tether("rm", "-q", "nobody").stderr == b""


def test_rm_of_a_live_sandbox_tells_its_server(
    tether: Tether, live: SyncEventStreamRuntime
) -> None:
    done = tether("rm", "live")
    assert "its history stays" in said(done.stdout)
    assert any(isinstance(event, SandboxStopped) for event in live.events.subscribe())
    assert list_records() == []


def test_rm_orphans_takes_orphans_only(
    tether: Tether, orphan: SandboxRecord, kept: SandboxRecord, live: SyncEventStreamRuntime
) -> None:
    done = tether("rm", "--orphans")
    assert "removed orphaned sandbox orphan\n" in said(done.stdout)
    assert is_gone(orphan)
    assert {record.name for record in list_records()} == {"kept", "live"}
    assert (sandbox_folder("orphan") / "history.sqlite3").exists()
    assert live.run(CmdRunAction(command="echo on")).content == "on\n"


@pytest.mark.parametrize("option", ["--orphans", "--all"])
def test_rm_with_a_name_takes_nothing_else(
    tether: Tether, orphan: SandboxRecord, kept: SandboxRecord, option: str
) -> None:
    done = tether("rm", option, "kept")
    assert "goes with neither" in said(done.stderr)
    assert {record.name for record in list_records()} == {"orphan", "kept"}


def test_rm_orphans_takes_records_of_what_is_gone(tether: Tether, orphan: SandboxRecord) -> None:
    subprocess.run(["kill", "-KILL", orphan.handle["pid"]], check=True)
    assert is_gone(orphan)
    (found,) = listed(tether)
    assert (found["state"], found["orphan"]) == ("gone", False)
    assert "what was left of sandbox orphan" in said(tether("rm", "--orphans").stdout)
    assert list_records() == []


def test_rm_orphans_takes_a_start_that_died(tether: Tether, state_dir: Path) -> None:
    folder = sandbox_folder("half")
    folder.mkdir(parents=True)
    (folder / "claim").write_text("999999999 1")
    assert listed(tether)[0]["state"] == "gone"
    tether("rm", "--orphans")
    assert listed(tether) == []


def test_a_start_that_lives_is_left_alone(tether: Tether, state_dir: Path) -> None:
    folder = sandbox_folder("half")
    folder.mkdir(parents=True)
    (folder / "claim").write_text(f"1 {Path('/proc/1/stat').read_text().split()[21]}")
    assert listed(tether)[0]["state"] == "starting"
    tether("rm", "--orphans")
    assert listed(tether)[0]["state"] == "starting"


def test_rm_all(tether: Tether, kept: SandboxRecord, orphan: SandboxRecord) -> None:
    with SyncEventStreamRuntime(backend="local", name="past"):
        pass
    done = tether("rm", "--all")
    assert done.returncode == 0
    assert {"sandbox kept", "orphaned sandbox orphan", "history of sandbox past"} <= {
        line.removeprefix("removed ") for line in said(done.stdout).splitlines()
    }
    assert list((state_folder() / "sandboxes").iterdir()) == []


def test_an_engine_that_does_not_answer(
    tether: Tether, kept: SandboxRecord, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    record = kept.model_copy(
        update={"name": "boxed", "backend": "docker", "handle": {"container": "0" * 64}}
    )
    folder = sandbox_folder("boxed")
    folder.mkdir()
    (folder / "sandbox.json").write_text(record.model_dump_json())
    shown = tether("ps")
    assert "unknown" in said(shown.stdout)
    assert "no container engine answers" in said(shown.stderr)
    done = tether("rm", "boxed", "kept")
    assert done.returncode == 125
    assert "boxed could not be removed" in said(done.stderr)
    assert "removed sandbox kept" in said(done.stdout)
    assert folder.exists()
    orphans = tether("rm", "--orphans")
    assert orphans.returncode == 125
    assert "containers could not be looked at" in said(orphans.stderr)
    (folder / "sandbox.json").unlink()


def test_an_empty_list_says_that_no_engine_was_asked(
    tether: Tether, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    done = tether("ps", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, [])
    assert "containers could not be looked at: no container engine answers" in said(done.stderr)
    assert f"{tmp_path}/none.sock" in said(done.stderr)


@pytest.mark.engine
def test_containers(debian: str, tether: Tether) -> None:
    with SyncEventStreamRuntime(debian, keep=True) as runtime:
        pass
    (record,) = list_records()
    (found,) = listed(tether)
    assert (found["state"], found["keep"], found["image"]) == ("running", True, debian)
    subprocess.run(["docker", "stop", "-t", "5", record.handle["container"]], check=True)
    assert _of_container(record).state == "stopped"
    (sandbox_folder(runtime.name) / "sandbox.json").unlink()
    unrecorded = _of_container(record)
    assert (unrecorded.record, unrecorded.keep, unrecorded.name) == (None, True, runtime.name)
    assert "TETHER_STATE_DIR" in said(tether("doctor", runtime.name).stdout)
    assert f"removed sandbox {runtime.name}\n" in said(tether("rm", runtime.name).stdout)
    inspected = subprocess.run(["docker", "inspect", record.handle["container"]], check=False)
    assert inspected.returncode == 1


@pytest.mark.engine
@pytest.mark.parametrize("how", ["kill", "pause"])
def test_one_that_does_not_run_is_removed(debian: str, tether: Tether, how: str) -> None:
    with SyncEventStreamRuntime(debian, keep=True) as runtime:
        pass
    (record,) = list_records()
    subprocess.run(["docker", how, record.handle["container"]], check=True)
    assert f"removed sandbox {runtime.name}" in said(tether("rm", runtime.name).stdout)
    inspected = subprocess.run(["docker", "inspect", record.handle["container"]], check=False)
    assert inspected.returncode == 1
    assert list_records() == []


def _of_container(record: SandboxRecord) -> Listed:
    sandboxes = take_inventory().sandboxes
    (found,) = [s for s in sandboxes if s.container == record.handle["container"]]
    return found
