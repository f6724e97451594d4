"""`tether doctor`: machines and sandboxes, healthy and not."""

from __future__ import annotations

import json
import os
import socket
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from tether_server import SyncEventStreamRuntime
from tether_server.cli import engine_probe
from tether_server.cli.engine_probe import probe_engine
from tether_server.cli.machine_checks import check_space, check_state
from tether_server.record import SandboxRecord

from .conftest import Tether, said


def findings(tether: Tether, *arguments: str) -> dict[str, dict[str, Any]]:
    done = tether("doctor", "--json", *arguments)
    report = json.loads(done.stdout)
    assert report["ok"] is (done.returncode == 0)
    assert done.returncode in (0, 1)
    return {found["name"]: found for found in report["findings"]}


@pytest.mark.engine
def test_a_machine_that_has_everything(tether: Tether, engine: str) -> None:
    done = tether("doctor")
    assert done.returncode == 0, done.stdout
    assert "✓ engine" in said(done.stdout)
    found = findings(tether)
    assert {f["status"] for f in found.values()} <= {"ok", "note"}
    assert {"system", "python", "packages", "engine", "environment", "state"} <= set(found)


def test_a_machine_without_an_engine(
    tether: Tether, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    found = findings(tether)
    assert found["engine"]["status"] == "missing"
    assert "unset DOCKER_HOST" in found["engine"]["fix"]
    assert "environment" not in found
    assert "→" in said(tether("doctor").stdout)


def test_orphans_are_noted(tether: Tether, orphan: SandboxRecord) -> None:
    left = findings(tether)["leftovers"]
    assert left["status"] == "note"
    assert "orphan" in left["detail"]
    assert "tether rm --orphans" in left["fix"]


# --- engines that are not well


def engine_at(path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    monkeypatch.setattr(engine_probe, "TIMEOUT_S", 0.3)
    finding, facts = probe_engine()
    assert facts == {}
    assert finding.status == "missing"
    return finding


def test_a_socket_that_was_left_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
    assert "left over" in engine_at(tmp_path / "s", monkeypatch).detail


def test_an_engine_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        assert "does not answer within" in engine_at(tmp_path / "s", monkeypatch).detail


@pytest.mark.parametrize("answer", [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n[1]"])
def test_something_else_that_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

        server = threading.Thread(target=serve)
        server.start()
        assert "no container engine" in engine_at(tmp_path / "s", monkeypatch).detail
        server.join()


def test_a_file_instead_of_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "s").touch()
    assert "is not a socket" in engine_at(tmp_path / "s", monkeypatch).detail


def test_a_socket_for_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        monkeypatch.setattr(engine_probe, "_ask", refuse)
        finding = engine_at(tmp_path / "s", monkeypatch)
    assert "you may not use" in finding.detail
    assert "docker" in finding.fix


# --- state folder and disk


def test_a_state_folder_is_made_private(tmp_path: Path) -> None:
    assert check_state(tmp_path / "a" / "b").status == "ok"
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700


def test_a_state_folder_that_others_may_write(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    finding = check_state(tmp_path)
    assert (finding.status, finding.fix) == ("missing", f"chmod 700 {tmp_path}")


def test_a_state_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "TETHER_STATE_DIR" in check_state(tmp_path / "file" / "state").fix


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_state_folder_of_somebody_else(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, -1)
    assert "belongs to user 12345" in check_state(tmp_path).detail
    os.chown(tmp_path, 0, -1)


def test_disk_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "not" / "yet"
    for free, status in ((10**11, "ok"), (10**9, "note"), (10**8, "missing")):
        usage = type("Usage", (), {"free": free})
        monkeypatch.setattr("shutil.disk_usage", lambda _, usage=usage: usage)
        assert check_space("disk", folder).status == status


# --- one sandbox


def test_a_healthy_sandbox(tether: Tether, live: SyncEventStreamRuntime) -> None:
    found = findings(tether, "live")
    assert {f["status"] for f in found.values()} == {"ok"}
    assert "ms by unix: " in found["handshake"]["detail"]
    assert "(auto; unix answers in " in found["handshake"]["detail"]
    assert "client.sock: answers in " in found["by unix"]["detail"]
    assert "client 0.1.0" in found["history"]["detail"]
    assert found["transport"]["detail"].startswith("last connected by unix")


def test_a_sandbox_whose_client_does_not_answer(tether: Tether, kept: SandboxRecord) -> None:
    sock = Path(kept.handle["folder"]) / "socket" / "client.sock"
    moved = sock.rename(sock.with_suffix(".away"))
    found = findings(tether, "kept")
    moved.rename(sock)
    assert found["sandbox"]["status"] == "ok"
    assert found["handshake"]["status"] == "missing"


def test_an_orphan(tether: Tether, orphan: SandboxRecord) -> None:
    found = findings(tether, "orphan")
    assert found["server"]["status"] == "note"
    assert found["handshake"]["status"] == "ok"


def test_a_sandbox_that_ended(tether: Tether) -> None:
    with SyncEventStreamRuntime(backend="local", name="past"):
        pass
    found = findings(tether, "past")
    assert found["sandbox"]["status"] == "missing"
    assert "handshake" not in found


def test_no_such_sandbox(tether: Tether) -> None:
    assert list(findings(tether, "nobody")) == ["sandbox"]
