"""A secret that is changed while the sandbox runs: who knows which when, and who is refused."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from tether_runtime_client.protocol import auth
from tether_runtime_client.protocol.errors import (
    RotationFailed,
    SandboxNotFound,
    SecretExpired,
    Unauthorized,
)
from tether_server import CmdRunAction, EventStreamRuntime, OperatorRuntime, Tcp
from tether_server.cli.sandbox_checks import check_sandbox
from tether_server.link import Link
from tether_server.record import changing_secret, load_record, sandbox_folder, store_secret
from tether_server.transports import NoAnswer, Transport, TransportSettings, probe

from .conftest import MakeRuntime


@pytest.fixture
async def local() -> AsyncIterator[EventStreamRuntime]:
    async with EventStreamRuntime(backend="local") as runtime:
        yield runtime


def way_to(runtime: EventStreamRuntime) -> Transport:
    assert runtime._link is not None
    return runtime._link.transport


def secret_of(runtime: EventStreamRuntime) -> str:
    return load_record(runtime.name).secret


async def is_refused(runtime: EventStreamRuntime, secret: str) -> bool:
    """Whether the client does not prove itself by this secret."""
    try:
        await probe(way_to(runtime), secret)
    except NoAnswer as problem:
        return problem.kind == "stranger"
    return False


async def works(runtime: EventStreamRuntime) -> None:
    seen = await asyncio.wait_for(runtime.run(CmdRunAction(command="echo works")), 30)
    assert seen.content == "works\n"


async def test_the_former_is_refused_and_everything_goes_on(make_runtime: MakeRuntime) -> None:
    async with make_runtime() as runtime:
        await runtime.run(CmdRunAction(command="kept=1"))
        running = asyncio.create_task(
            runtime.run(CmdRunAction(command="sleep 1; echo done", session="other"))
        )
        former, link = secret_of(runtime), runtime._link
        connection = link._connection  # type: ignore[union-attr]
        for _ in range(3):
            await runtime.rotate_secret()
        assert runtime._link._connection is connection  # type: ignore[union-attr]
        assert await is_refused(runtime, former)
        assert not await is_refused(runtime, secret_of(runtime))
        assert (await runtime.run(CmdRunAction(command="echo $kept"))).content == "1\n"
        assert (await running).content == "done\n"
        runtime.cut_connection()
        await works(runtime)


async def test_an_operator_comes_back_by_the_new_one(local: EventStreamRuntime) -> None:
    async with OperatorRuntime.beside(local.name) as operator:
        link = operator._link
        running = asyncio.create_task(
            operator.run(CmdRunAction(command="sleep 0.5; echo done", session="other"))
        )
        await works(operator)
        former = link._connection  # type: ignore[union-attr]
        await local.rotate_secret()
        await works(operator)
        assert link._connection is not former  # type: ignore[union-attr]
        assert (await running).content == "done\n"


async def test_an_operator_changes_it_and_the_controller_comes_back(
    local: EventStreamRuntime,
) -> None:
    former = secret_of(local)
    async with OperatorRuntime.beside(local.name) as operator:
        await operator.rotate_secret()
    await works(local)
    assert secret_of(local) != former
    assert await is_refused(local, former)
    await local.rotate_secret()
    await works(local)


async def test_all_at_once_change_it_one_by_one(local: EventStreamRuntime) -> None:
    async with OperatorRuntime.beside(local.name) as operator:
        results = await asyncio.gather(
            *(x.rotate_secret() for x in (local, operator, local, operator)),
            return_exceptions=True,
        )
        assert all(r is None or isinstance(r, RotationFailed) for r in results)
        assert None in results
        await works(local)
        await works(operator)


async def test_the_client_restarts_and_knows_the_new_one(local: EventStreamRuntime) -> None:
    former = secret_of(local)
    await local.rotate_secret()
    await kill_client(local)
    await works(local)
    assert await is_refused(local, former)


async def kill_client(runtime: EventStreamRuntime) -> None:
    seen = await runtime.run(CmdRunAction(command="echo $PPID"))
    os.kill(int(seen.content), signal.SIGKILL)


# --- killed in the middle ----------------------------------------------------------------------


class Struck(Exception):
    """Where this process is killed, in these tests."""


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("client_dies", [False, True])
async def test_a_server_that_is_killed_amid_it(
    local: EventStreamRuntime, stored: bool, client_dies: bool
) -> None:
    """Before and after it has stored the new one, which it never came to confirm."""
    former = secret_of(local)

    def strike(secret: str) -> None:
        if stored:
            store_secret(local.name, secret)
        raise Struck

    assert local._link is not None
    with pytest.raises(Struck):
        await local._link.rotate(strike)
    assert not await is_refused(local, former)
    assert not await is_refused(local, secret_of(local))
    if client_dies:
        await kill_client(local)
    local.cut_connection()
    await works(local)
    assert await is_refused(local, former) == stored
    await local.rotate_secret()
    assert await is_refused(local, former)
    await works(local)


async def test_a_connection_that_is_lost_before_the_confirmation(
    local: EventStreamRuntime,
) -> None:
    """The next one, which is made by the new secret, confirms it as well."""
    former = secret_of(local)

    def store(secret: str) -> None:
        store_secret(local.name, secret)
        local.cut_connection()

    assert local._link is not None
    await local._link.rotate(store)
    assert await is_refused(local, former)
    await works(local)


async def test_a_connection_that_is_lost_at_the_beginning(local: EventStreamRuntime) -> None:
    former = secret_of(local)
    rotating = asyncio.create_task(local.rotate_secret())
    await asyncio.sleep(0)
    local.cut_connection()
    with pytest.raises(RotationFailed, match="as it was"):
        await rotating
    assert secret_of(local) == former
    await works(local)
    await local.rotate_secret()


async def test_a_record_that_cannot_be_written(local: EventStreamRuntime) -> None:
    def store(secret: str) -> None:
        raise OSError(28, "No space left on device")

    former = secret_of(local)
    assert local._link is not None
    with pytest.raises(OSError, match="No space"):
        await local._link.rotate(store)
    assert secret_of(local) == former
    local.cut_connection()
    await works(local)


async def test_a_sandbox_that_was_removed_meanwhile(local: EventStreamRuntime) -> None:
    (sandbox_folder(local.name) / "sandbox.json").unlink()
    with pytest.raises(SandboxNotFound):
        await local.rotate_secret()


async def test_one_process_at_a_time(local: EventStreamRuntime) -> None:
    with changing_secret(local.name), pytest.raises(RotationFailed, match="another process"):
        await local.rotate_secret()
    await local.rotate_secret()


ROTATING = """
import asyncio, sys
from tether_server import OperatorRuntime

async def main():
    async with OperatorRuntime.beside(sys.argv[1]) as runtime:
        print("begins", flush=True)
        while True:
            await runtime.rotate_secret()

asyncio.run(main())
"""


@pytest.mark.slow
async def test_processes_that_are_killed_at_any_moment(local: EventStreamRuntime) -> None:
    """Of those that change it over and over; now and then the client is, too."""
    chance = random.Random(20261122)
    changed = 0
    for number in range(16):
        former = secret_of(local)
        process = subprocess.Popen(
            [sys.executable, "-c", ROTATING, local.name], stdout=subprocess.PIPE
        )
        with process:
            assert process.stdout is not None
            await asyncio.to_thread(process.stdout.readline)
            await asyncio.sleep(chance.uniform(0, 0.08))
            if number % 4 == 3:
                await kill_client(local)
            process.kill()
        changed += secret_of(local) != former
        await works(local)
        assert not await is_refused(local, secret_of(local))
    assert changed > 0


# --- a container -------------------------------------------------------------------------------


@pytest.mark.engine
@pytest.mark.parametrize(
    "transport",
    ["dial", *(pytest.param(x, marks=pytest.mark.slow) for x in ("unix", Tcp(tls=True)))],
)
async def test_a_restarted_container_gets_the_new_one(
    debian: str, transport: TransportSettings
) -> None:
    """From the server that is there, though another process changed it; and from the next one."""
    async with EventStreamRuntime(debian, transport=transport, keep=True) as runtime:
        name, first = runtime.name, secret_of(runtime)
        async with OperatorRuntime.beside(name) as operator:
            await operator.rotate_secret()
        second = secret_of(runtime)
        await restart(runtime)
        await works(runtime)
        assert secret_of(runtime) == second
        assert await is_refused(runtime, first)
        await runtime.rotate_secret()
        await restart(runtime)
    async with EventStreamRuntime.attach(name) as runtime:
        await works(runtime)
        assert await is_refused(runtime, second)
        await runtime.close(keep=False)


async def restart(runtime: EventStreamRuntime) -> None:
    container = load_record(runtime.name).handle["container"]
    command = ["docker", "restart", "--time", "1", container]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)


# --- expiry ------------------------------------------------------------------------------------


async def test_a_secret_that_is_over_is_told_apart_from_a_wrong_one() -> None:
    async with EventStreamRuntime(backend="local", secret_lifetime_s=4.0) as runtime:
        assert runtime._renewal is not None
        runtime._renewal.cancel()  # as if it had been away
        await asyncio.sleep(4.05)
        await works(runtime)  # the connection that stands goes on
        with pytest.raises(SecretExpired, match="expired") as caught:
            await OperatorRuntime.beside(runtime.name).start()
        assert f"tether rm {runtime.name}" in caught.value.hint
        assert "docker" not in caught.value.hint
        *_, handshake = await asyncio.to_thread(lambda: list(check_sandbox(runtime.name)))
        assert (handshake.name, handshake.fix) == ("handshake", caught.value.hint)
        wrong = Link(way_to(runtime), auth.new_secret, Nobody(), alive)  # type: ignore[arg-type]
        with pytest.raises(Unauthorized) as refused:
            await wrong.start()
        assert not isinstance(refused.value, SecretExpired)
        runtime.cut_connection()
        with pytest.raises(SecretExpired):
            await works(runtime)


async def test_a_server_that_stays_changes_it_in_time() -> None:
    async with EventStreamRuntime(backend="local", secret_lifetime_s=4.0) as runtime:
        first = secret_of(runtime)
        async with asyncio.timeout(20):
            while secret_of(runtime) == first:
                await asyncio.sleep(0.05)
        assert await is_refused(runtime, first)
        async with OperatorRuntime.beside(runtime.name) as operator:
            await works(operator)


@pytest.mark.parametrize("seconds", [0, -1, 0.01, float("nan"), float("inf"), "x"])
def test_a_lifetime_that_is_none(seconds: float) -> None:
    with pytest.raises(ValueError, match="secret_lifetime_s"):
        EventStreamRuntime(backend="local", secret_lifetime_s=seconds)


class Nobody:
    def progress(self) -> dict[str, int]:
        return {}

    def newest(self) -> None:
        return None


async def alive() -> None:
    return None
