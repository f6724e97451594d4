"""What the engine is asked for, and what it is never asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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


@pytest.mark.engine
async def test_a_relative_path_counts_from_here(
    busybox: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "file").write_text("seen")
    monkeypatch.chdir(tmp_path)
    async with EventStreamRuntime(busybox, mounts=["./shared:/x:ro"]) as runtime:
        assert (await runtime.exec(["cat", "/x/file"])).stdout == b"seen"


@pytest.mark.engine
@pytest.mark.parametrize(
    "resources", [{"mem_limit": "lots"}, {"ulimits": "many"}, {"cpu_quota": "half"}]
)
async def test_a_limit_that_is_none_is_told_as_that(
    debian: str, resources: dict[str, object]
) -> None:
    with pytest.raises(StartFailed, match=r"cannot be asked for this|did not make") as caught:
        await EventStreamRuntime(debian, resources=resources).start()
    assert caught.value.hint


@pytest.mark.engine
async def test_too_little_memory_for_the_client_is_told_as_that(busybox: str) -> None:
    with pytest.raises(StartFailed, match="memory had run out") as caught:
        await EventStreamRuntime(busybox, resources={"mem_limit": "6m"}).start()
    assert "the client alone takes 45 MB" in caught.value.hint


async def test_a_folder_that_is_not_there_is_not_started_in() -> None:
    with pytest.raises(StartFailed, match="no folder /no/such"):
        await EventStreamRuntime(backend="local", workdir="/no/such").start()


@pytest.mark.engine
@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"user": "bogus"}, "user='1000:1000'"),
        ({"network": "bogus"}, "docker network ls"),
        ({"resources": {"mem_limit": "1x"}}, "mem_limit='2g'"),
        ({"workdir": "not/absolute"}, "Look at the options"),
    ],
)
async def test_the_hint_is_about_the_option_that_is_refused(
    busybox: str, options: dict[str, Any], hint: str
) -> None:
    with pytest.raises(StartFailed) as caught:
        await EventStreamRuntime(busybox, **options).start()
    assert hint in caught.value.hint
