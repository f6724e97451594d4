"""The secret reaches each life of a container, whoever was there when it began."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import docker
import docker.errors
import pytest
from docker.models.containers import Container

from tether_server import CmdRunAction, EventStreamRuntime, OperatorRuntime, SandboxGone
from tether_server.backends.handover import own
from tether_server.cli.sandbox_checks import check_sandbox

from .conftest import Find, MakeImage

pytestmark = pytest.mark.engine

SCRIPT = 'ENTRYPOINT ["/bin/sh", "-c", "exec \\"$0\\" \\"$@\\""]'
QUIET = {"log_config": {"type": "none"}}
WAYS: dict[str, dict[str, Any]] = {
    "first": {},
    "behind an entrypoint": {"entrypoint": "through"},
    "without a log": {"resources": QUIET},
}


async def echo(runtime: EventStreamRuntime) -> str:
    return (await runtime.run(CmdRunAction(command="echo ${x-new}"))).content


@pytest.mark.parametrize("way", WAYS)
async def test_one_that_was_restarted_alone_is_attached_to(
    make_image: MakeImage, busybox: str, find: Find, way: str
) -> None:
    image = make_image(f"FROM {busybox}\n{SCRIPT}")
    async with EventStreamRuntime(image, inject="mount", keep=True, **WAYS[way]) as first:
        await first.run(CmdRunAction(command="x=old"))
    async with EventStreamRuntime.attach(first.name) as second:
        assert await echo(second) == "old\n"
    await asyncio.to_thread(find(first).restart, timeout=5)
    async with EventStreamRuntime.attach(first.name) as third:
        assert await echo(third) == "new\n"


async def test_who_attaches_and_goes_does_not_end_the_wait_and_an_operator_does(
    busybox: str, find: Find
) -> None:
    async with EventStreamRuntime(busybox, inject="mount", keep=True) as first:
        pass
    container = find(first)
    await asyncio.to_thread(container.restart, timeout=5)
    params = {"stdin": 1, "stream": 1}
    own(await asyncio.to_thread(container.attach_socket, params=params)).close()
    async with OperatorRuntime.beside(first.name) as operator:
        assert await echo(operator) == "new\n"


@pytest.mark.slow
async def test_a_kept_one_waits_for_as_long_as_it_takes(busybox: str, find: Find) -> None:
    async with EventStreamRuntime(busybox, inject="mount", keep=True) as first:
        pass
    await asyncio.to_thread(find(first).restart, timeout=5)
    await asyncio.sleep(40)
    async with EventStreamRuntime.attach(first.name) as second:
        assert await echo(second) == "new\n"


DYING_SERVER = """
import asyncio, os, signal, sys
from tether_server import EventStreamRuntime
async def main():
    options = {"inject": "mount", "name": "alone", "lease_s": 3}
    async with EventStreamRuntime(sys.argv[1], **options):
        os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""


async def test_one_with_a_lease_waits_no_longer_than_that(
    busybox: str, client: docker.DockerClient
) -> None:
    command = [sys.executable, "-c", DYING_SERVER, busybox]
    await asyncio.to_thread(subprocess.run, command, timeout=100)
    container = client.containers.get("tether-alone")
    await asyncio.to_thread(container.restart, timeout=5)
    assert await asyncio.to_thread(_exit_code, container) == 75


def _exit_code(container: Container) -> int:
    """Of one that removes itself when it has ended."""
    return int(container.wait(condition="removed", timeout=30)["StatusCode"])


PAST = {"stop": "stopped", "pause": "paused"}


@pytest.mark.parametrize(("how", "undo"), [("stop", "start"), ("pause", "unpause")])
async def test_one_that_does_not_run_is_told_as_that(
    busybox: str, find: Find, how: str, undo: str
) -> None:
    async with EventStreamRuntime(busybox, inject="mount", keep=True) as first:
        assert first._sandbox is not None
        assert f"docker restart tether-{first.name}`" in first._sandbox.when_expired(first.name)
    container = find(first)
    await asyncio.to_thread(getattr(container, how))
    with pytest.raises(SandboxGone, match="does not run") as caught:
        await EventStreamRuntime.attach(first.name).start()
    assert f"docker {undo} tether-{first.name}" in caught.value.hint
    state, *_ = await asyncio.to_thread(lambda: list(check_sandbox(first.name)))
    assert (state.status, state.detail.split()[0]) == ("missing", PAST[how])
    assert f"docker {undo} tether-{first.name}" in state.fix
    await asyncio.to_thread(getattr(container, undo))
    async with EventStreamRuntime.attach(first.name) as second:
        assert await echo(second) == "new\n"
