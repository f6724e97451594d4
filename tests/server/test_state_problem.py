"""A state folder that is full or cannot be used: said as that, and nothing is left running."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from tether_server import EventStreamRuntime, StateUnusable
from tether_server.cli.failures import report_failure
from tether_server.inventory import take_inventory
from tether_server.state_problem import state_problem

from ..runtime_client.full_disk import fill, small_disk


async def test_a_full_disk(state_dir: Path) -> None:
    with small_disk(state_dir, 1):
        filler = fill(state_dir)
        with pytest.raises(StateUnusable, match="no room in") as caught:
            await EventStreamRuntime(backend="local", name="full").start()
        assert "TETHER_STATE_DIR" in caught.value.hint
        filler.unlink()
        assert all(found.state == "ended" for found in take_inventory(ask_engine=False).sandboxes)


@pytest.mark.parametrize("room", [4, 24, 80, 160])
async def test_a_disk_that_fills_up_during_the_start(state_dir: Path, room: int) -> None:
    with small_disk(state_dir, 1):
        filler = fill(state_dir)
        filler.write_bytes(b"x" * (filler.stat().st_size - room * 1024))
        with pytest.raises(StateUnusable, match="no room in"):
            await EventStreamRuntime(backend="local", start_timeout_s=20).start()
        filler.unlink()
        assert all(found.state == "ended" for found in take_inventory(ask_engine=False).sandboxes)


async def test_a_folder_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TETHER_STATE_DIR", str(tmp_path / "file" / "state"))
    with pytest.raises(StateUnusable, match="cannot be used: Not a directory") as caught:
        await EventStreamRuntime(backend="local").start()
    assert "TETHER_STATE_DIR" in caught.value.hint


def test_the_command_says_so(state_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    problem = PermissionError(errno.EACCES, "Permission denied", str(state_dir / "sandboxes"))
    assert report_failure(problem, debug=False) == 125
    assert "TETHER_STATE_DIR" in capsys.readouterr().err


def test_other_failures_are_not_of_the_state_folder() -> None:
    assert state_problem(FileNotFoundError(errno.ENOENT, "No such file", "/elsewhere")) is None
    assert state_problem(ConnectionError("no")) is None
    assert state_problem(OSError(errno.ENOSPC, "No space left on device")) is None


def test_a_write_that_names_no_file_is_its_own_when_it_is_full(state_dir: Path) -> None:
    with small_disk(state_dir, 1):
        fill(state_dir)
        assert state_problem(OSError(errno.ENOSPC, "No space left on device")) is not None
