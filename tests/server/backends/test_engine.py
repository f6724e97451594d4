"""An engine that cannot be asked: why, where, and what to do about it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tether_image_builder.engine import connected
from tether_server import EngineUnavailable
from tether_server.backends.docker import connect_engine


def connect_both_ways() -> list[EngineUnavailable]:
    """What a runtime, and then the image builder, say of the engine."""
    with pytest.raises(EngineUnavailable) as by_runtime:
        connect_engine()
    with pytest.raises(EngineUnavailable) as by_builder, connected(None):
        raise AssertionError
    return [by_runtime.value, by_builder.value]


def test_an_engine_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    host = f"unix://{tmp_path}/none.sock"
    monkeypatch.setenv("DOCKER_HOST", host)
    for problem in connect_both_ways():
        assert problem.message.startswith(f"no container engine answers at {host}: ")
        assert "Start that engine, or unset DOCKER_HOST" in problem.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_a_socket_that_is_not_ours_to_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.chdir(tmp_path)
    host = f"unix://{tmp_path}/s"
    monkeypatch.setenv("DOCKER_HOST", host)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("s")
        connect_both_ways()  # imports what another user may not be able to read
        os.seteuid(65534)
        try:
            problems = connect_both_ways()
        finally:
            os.seteuid(0)
    for problem in problems:
        assert problem.message.startswith(f"you may not use the container engine at {host}: ")
        assert "sudo usermod -aG docker" in problem.hint
