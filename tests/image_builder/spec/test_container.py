"""The container of a step, where it is not seen through a whole step."""

from __future__ import annotations

import docker
import pytest

from tether_image_builder.exchange import EngineRefusal
from tether_image_builder.spec import container
from tether_image_builder.spec.container import Process, StepContainer, step_container

pytestmark = pytest.mark.engine


def test_an_exit_code_is_waited_for_where_the_engine_does_not_have_it_yet(
    client: docker.DockerClient, busybox: str
) -> None:
    api = client.api
    with step_container(api, container.described(api, busybox), "/bin/sh", {}) as room:
        name = room._container
        for expected in (3, 0):
            made = api.exec_create(name, ["/bin/sh", "-c", f"sleep 1; exit {expected}"])["Id"]
            api.exec_start(made, detach=True)
            assert container._exit_code(api, name, made) == expected
            assert container._exit_code(api, name, made) == expected


def test_processes_one_after_the_other(client: docker.DockerClient, busybox: str) -> None:
    api = client.api
    with step_container(api, container.described(api, busybox), "/bin/sh", {}) as room:
        said: list[bytes] = []
        large = b"# " + b"x" * 3_000_000 + b"\n"
        assert (
            room.run(
                Process("/bin/sh", large + b"echo $A; pwd; exit 4\n", "0", "/tmp", {"A": "1"}),
                said.append,
            )
            == 4
        )
        assert b"".join(said) == b"1\n/tmp\n"
        assert room.command_reached() is None
        said.clear()
        assert room.run(Process("/bin/sh", b"yes | head -c 3000000; exit 0\n"), said.append) == 0
        assert len(b"".join(said)) == 3_000_000


def test_an_engine_that_has_no_such_image(client: docker.DockerClient) -> None:
    with pytest.raises(EngineRefusal, match="No such image"):
        container.described(client.api, "sha256:" + "0" * 64)


def test_what_has_ended_by_itself_can_be_ended(client: docker.DockerClient, busybox: str) -> None:
    api = client.api
    image = container.described(api, busybox)
    with step_container(api, image, "/bin/sh", {}) as room:
        assert isinstance(room, StepContainer)
        api.kill(room._container)
        api.wait(room._container)
        room.end()
        made = room.commit(image["Config"], {"a": "b"}, "a comment")
    try:
        assert client.images.get(made).labels["a"] == "b"
        assert client.api.history(made)[0]["Comment"] == "a comment"  # type: ignore[no-untyped-call]
    finally:
        client.images.remove(made)
