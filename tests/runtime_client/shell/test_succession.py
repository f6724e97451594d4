"""One shell follows another: starting the next, at most one at a time, with what the last knew."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tether_runtime_client.shell import ShellConfig, ShellSession
from tether_runtime_client.shell.succession import NextShell

from .conftest import Driver, Listener, Opener, opened


async def test_whoever_asks_meanwhile_waits_for_the_same_start() -> None:
    started, go_on = [], asyncio.Event()

    async def start() -> None:
        started.append(1)
        await go_on.wait()

    following = NextShell(start)
    waits = [asyncio.create_task(following.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(*waits)
    assert started == [1]
    await following.wait()
    assert started == [1, 1]


async def test_its_error_is_told_to_whoever_waits() -> None:
    async def start() -> None:
        raise OSError("no room")

    following = NextShell(start)
    with pytest.raises(OSError, match="no room"):
        await following.wait()


async def test_stopped_it_is_over_for_whoever_waits() -> None:
    following = NextShell(asyncio.Event().wait)
    waiting = asyncio.create_task(following.wait())
    await asyncio.sleep(0)
    await following.stop()
    await waiting
    await following.stop()


async def test_a_wait_that_is_cancelled_stops_nothing() -> None:
    go_on = asyncio.Event()
    following = NextShell(go_on.wait)
    waiting = asyncio.create_task(following.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not following.begin().done()
    go_on.set()
    await following.wait()


async def test_a_shell_that_ends_between_commands(shell: Driver) -> None:
    await shell.say("(sleep 0.05; kill -9 $$) & disown")
    await shell.listener.until_lost()
    result = await shell.run("echo new")
    assert result.text == "new\n"
    assert result.end.state_lost == shell.listener.lost[0]
    assert (await shell.run("echo again")).end.state_lost is None


async def test_a_command_sent_while_a_shell_is_replaced(shell: Driver) -> None:
    await shell.run("exit 1")
    started = shell.start("read x; echo got $x")
    await shell.type("typed early\n")
    assert (await started.result()).text.endswith("got typed early\n")


async def test_interrupt_of_a_command_that_waits_for_a_shell(shell: Driver) -> None:
    await shell.run("exit 1")
    started = shell.start("echo never")
    shell.session.interrupt()
    result = await started.result()
    assert (result.end.reason, result.code, result.text) == ("interrupted", 130, "")
    assert await shell.say("echo next") == "next\n"


async def test_a_command_sent_to_a_shell_that_has_just_died(shell: Driver) -> None:
    for _ in range(10):
        await shell.say("true")
        pid = shell.session.pid
        os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)  # the loop does not hear of it before the command is sent
        result = await shell.run("echo ran")
        assert (result.text, result.end.reason) == ("ran\n", "completed")
        assert result.end.state_lost is not None


async def test_background_jobs_outlive_their_shell(shell: Driver) -> None:
    await shell.run("(sleep 0.3; echo late) & exit 3")
    assert await shell.say("echo next") == "next\n"
    await shell.listener.until(b"late\n")


async def test_environment_with_everything_awkward(open_shell: Opener) -> None:
    env = {"A": "a\nb\n", "B": "\"q\" 'r' $x `y` \\", "C": "", "D": "\x01\x7f\t\r", "E": "\udcff"}
    shell = await open_shell(env=env)
    await shell.run("exit 1")
    for name, value in env.items():
        result = await shell.run(f'printf %s "${name}" | od -An -v -tx1')
        assert bytes.fromhex(result.text) == value.encode("utf-8", "surrogateescape")


async def test_a_command_when_no_shell_can_be_had(
    config: ShellConfig, no_leftovers: None, tmp_path: Path
) -> None:
    bash = tmp_path / "bash"
    bash.symlink_to(config.bash)
    async with opened(replace(config, bash=str(bash))) as driver:
        bash.unlink()
        assert (await driver.run("exit 1")).end.reason == "session_ended"
        result = await driver.run("echo never")
        assert (result.end.reason, result.code) == ("session_ended", None)
        assert str(bash) in result.end.detail
        bash.symlink_to(config.bash)
        result = await driver.run("echo again")
        assert (result.text, result.code) == ("again\n", 0)


async def test_resets_side_by_side(shell: Driver) -> None:
    """A command that comes meanwhile runs in the last one's shell, or is told that it did not."""
    resets = [asyncio.create_task(shell.session.reset()) for _ in range(5)]
    queued = []
    while not all(reset.done() for reset in resets):
        await asyncio.sleep(0.002)
        if shell.session.running is None:
            queued.append(shell.start("echo a"))
    for started in queued:
        result = await started.result()
        told = (result.end.reason, result.text)
        assert told in {("completed", "a\n"), ("session_ended", "")}
    assert await shell.say("echo b") == "b\n"
    assert shell.listener.warnings == []


async def test_close_while_replacing(config: ShellConfig, no_leftovers: None) -> None:
    session = ShellSession("x", config, listener=Listener())
    driver = Driver(session, Listener())
    await driver.run("exit 1")
    queued = driver.start("echo never")
    await session.close()
    assert (await queued.result()).end.reason == "session_ended"
