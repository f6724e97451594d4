"""What the engine is asked for, and what it is never asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tether_server import EventStreamRuntime, StartFailed
from tether_server.backends.container_options import check_mounts
from tether_server.backends.docker import connect_engine


@pytest.mark.engine
async def test_a_path_that_is_not_there_is_not_mounted(debian: str, tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    with pytest.raises(StartFailed, match="nothing to mount at") as caught:
        await EventStreamRuntime(debian, mounts=[f"{absent}:/x"]).start()
    assert str(absent) in caught.value.message
    assert not absent.exists()


@pytest.mark.engine
def test_what_may_be_mounted(engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = connect_engine()
    try:
        check_mounts(client, [f"{tmp_path}:/x:ro", "a-volume:/y"])
        monkeypatch.setenv("DOCKER_HOST", "tcp://elsewhere:2375")
        check_mounts(client, [f"{tmp_path}/absent:/x"])
    finally:
        client.close()
