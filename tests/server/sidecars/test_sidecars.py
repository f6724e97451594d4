"""Sidecars on the engine: what they share, how they end with their sandboxes, and come back."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tether_server import (
    CmdRunAction,
    EventStreamRuntime,
    SandboxInterrupted,
    SidecarLost,
    SidecarStarted,
    StartFailed,
)
from tether_server.inventory import take_inventory
from tether_server.removal import remove
from tether_server.sidecars.plan import CONTAINER_LABEL, OF_LABEL, USER

from .conftest import Engine

pytestmark = pytest.mark.engine

Make = Callable[..., EventStreamRuntime]


async def told(runtime: EventStreamRuntime, kind: type[Any], count: int = 1) -> Any:
    """The event of that kind, once there are so many."""
    async with asyncio.timeout(30):
        async for event in runtime.events.subscribe(0):
            count -= isinstance(event, kind)
            if not count:
                return event
    raise AssertionError(f"there was no {kind.__name__}")


async def ask(runtime: EventStreamRuntime, how: str) -> None:
    """Have its program end that way."""
    [plan] = runtime._sandbox.sidecars  # type: ignore[union-attr]
    told = f"echo {how} | nc -w 25 127.0.0.1 {plan.port} 2>&1"
    # Not again where it was told and ended before it took leave: the next one would end too.
    script = f"while {told} | grep -q 'connect to'; do usleep 20000; done"
    await asyncio.wait_for(runtime.exec(["sh", "-c", script]), 30)


async def test_what_it_shares_and_how_it_comes_back(beside: Make, containers: Engine) -> None:
    options = {"resources": {"mem_limit": "16m"}, "network": "none"}
    async with beside(**options) as runtime, beside(**options) as other:
        [first] = [e for e in runtime.events.since(0) if isinstance(e, SidecarStarted)]
        assert first.plugin == "box"
        attrs = containers.sidecar(runtime).attrs
        host = attrs["HostConfig"]
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert host["SecurityOpt"] == ["no-new-privileges"]
        assert host["Memory"] == 16 << 20
        assert not host["Binds"]
        assert attrs["Config"]["User"] == f"{USER}:{USER}"
        assert "http_proxy=p" in attrs["Config"]["Env"]
        assert "SECRET=s" not in attrs["Config"]["Env"]

        await ask(runtime, "over")  # by the network that has nothing but the loopback
        assert (await told(runtime, SidecarLost)).exit_code == 3
        await told(runtime, SidecarStarted, 2)
        await ask(runtime, "memory")
        lost = await told(runtime, SidecarLost, 2)
        assert (lost.cause, lost.exit_code) == ("out_of_memory", 137)
        await told(runtime, SidecarStarted, 3)
        containers.sidecar(runtime).kill()
        assert (await told(runtime, SidecarLost, 3)).cause == "killed"
        await told(runtime, SidecarStarted, 4)
        assert (await runtime.exec(["echo", "here"])).stdout == b"here\n"
        assert not [e for e in other.events.since(0) if isinstance(e, SidecarLost)]
        names = runtime.name, other.name
    assert [containers.left(name) for name in names] == [[], []]


async def test_it_ends_with_a_sandbox_that_is_removed(beside: Make, containers: Engine) -> None:
    async with beside() as runtime:
        sidecar = containers.sidecar(runtime)
        containers.client.containers.get(f"tether-{runtime.name}").remove(force=True)
        containers.wait_gone(sidecar)
        assert containers.left(runtime.name) == []
        assert not [e for e in runtime.events.since(0) if isinstance(e, SidecarLost)]


async def test_a_start_that_fails_leaves_nothing(beside: Make, containers: Engine) -> None:
    runtime = beside("echo 'the port is taken' >&2; exit 4")
    with pytest.raises(StartFailed, match="of the plugin 'box' did not come up") as failed:
        await runtime.start()
    assert "the port is taken" in failed.value.message
    assert "takes another port" in failed.value.hint
    assert containers.left(runtime.name) == []


async def test_a_killed_server(busybox: str, containers: Engine, state_dir: Path) -> None:
    program = Path(__file__).with_name("beside.py")
    server = subprocess.Popen(
        [sys.executable, program, busybox], stdout=subprocess.PIPE, env=dict(os.environ)
    )
    with server:
        assert server.stdout is not None
        name = (await asyncio.to_thread(server.stdout.readline)).decode().strip()
        both = [containers.client.containers.get(one) for one in containers.left(name)]
        assert len(both) == 2
        server.send_signal(signal.SIGKILL)
    for each in both:
        each.reload()
        assert each.status == "running"  # for who attaches within the lease
    for each in both:
        await asyncio.to_thread(containers.wait_gone, each)
    assert containers.left(name) == []


async def test_a_kept_sandbox(beside: Make, containers: Engine) -> None:
    async with beside(keep=True) as runtime:
        name = runtime.name
        container = containers.client.containers.get(f"tether-{name}")
        await asyncio.to_thread(container.restart, timeout=5)
        await told(runtime, SandboxInterrupted)
        await told(runtime, SidecarStarted, 2)  # in the network that is there now
        before = containers.sidecar(runtime)
    before.reload()
    assert before.status == "running"
    await asyncio.to_thread(container.restart, timeout=5)  # while nobody is there
    async with EventStreamRuntime.attach(name) as runtime:
        await told(runtime, SidecarStarted, 3)
        assert containers.sidecar(runtime).id != before.id
        # It ended with the sandbox, twice, which tells of that itself.
        assert not [e for e in runtime.events.since(0) if isinstance(e, SidecarLost)]
        await ask(runtime, "over")
        await told(runtime, SidecarLost)
        await told(runtime, SidecarStarted, 4)
        sidecar = containers.sidecar(runtime)
    sidecar.kill()  # and nobody is there to tell
    async with EventStreamRuntime.attach(name) as runtime:
        assert (await told(runtime, SidecarLost, 2)).cause == "killed"
        await told(runtime, SidecarStarted, 5)
    [found] = [one for one in take_inventory().sandboxes if one.name == name]
    await remove(found, history=True)
    assert containers.left(name) == []


@pytest.mark.slow
async def test_the_server_that_took_over_looks_after_it(beside: Make, containers: Engine) -> None:
    async with (
        beside() as former,
        EventStreamRuntime.attach(former.name, takeover=True) as runtime,
    ):
        await runtime._sandbox._sidecars.up()  # type: ignore[union-attr]
        for count in (1, 2, 3):
            containers.sidecar(runtime).kill()
            await told(runtime, SidecarLost, count)
            await told(runtime, SidecarStarted, 1 + count)
        name = runtime.name
    assert containers.left(name) == []


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_starts_that_are_given_up(beside: Make, containers: Engine) -> None:
    for tenths in range(0, 16):
        runtime = beside()
        starting = asyncio.create_task(runtime.start())
        await asyncio.wait([starting], timeout=0.05 + tenths / 20)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await runtime.close()
        assert containers.left(runtime.name) == []


@pytest.mark.slow
async def test_what_it_writes_without_end(beside: Make, containers: Engine) -> None:
    async with beside("echo 'listens on {port}'; exec busybox yes") as runtime:
        began = time.process_time()
        for _ in range(10):
            await asyncio.sleep(0.1)
            assert (await runtime.run(CmdRunAction(command="true"))).exit_code == 0
        assert time.process_time() - began < 0.5  # of a second; who reads all of it has no other
        await asyncio.to_thread(containers.sidecar(runtime).kill)
        assert (await told(runtime, SidecarLost)).cause == "killed"


async def test_one_that_was_never_started(busybox: str, containers: Engine) -> None:
    name = f"never-{os.getpid()}"
    labels = {OF_LABEL: name, CONTAINER_LABEL: "0" * 64}
    containers.client.containers.create(busybox, labels=labels)
    [found] = [one for one in take_inventory().sandboxes if one.name == name]
    assert found.leftover
    await remove(found, history=False)
    assert containers.left(name) == []
