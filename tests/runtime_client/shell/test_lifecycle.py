"""Sessions start, are replaced and end without leaving anything behind."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tether_runtime_client.shell import (
    SessionClosed,
    ShellConfig,
    ShellSession,
    ShellStartError,
)

from .conftest import Driver, Listener, Opener, opened


def home(tmp_path: Path, name: str, text: str) -> dict[str, str]:
    folder = tmp_path / f"home-{len(list(tmp_path.iterdir()))}"
    folder.mkdir()
    (folder / name).write_text(text)
    return {"HOME": str(folder)}


GOOD_RC = '[ -z "$PS1" ] && return\n[[ $- == *i* ]] || return\nexport A=1\nalias hi="echo hello"\n'


@pytest.mark.parametrize(
    ("startup", "name"),
    [("bashrc", ".bashrc"), ("profile", ".bash_profile"), ("profile", ".profile")],
)
async def test_startup_files(open_shell: Opener, tmp_path: Path, startup: str, name: str) -> None:
    env = home(tmp_path, name, GOOD_RC)
    shell = await open_shell(startup=startup, env=env)
    assert await shell.say("echo $A; hi") == "1\nhello\n"
    assert shell.listener.warnings == []
    none = await open_shell(startup="none", env=env)
    assert await none.say("echo $A") == "\n"


async def test_startup_files_run_again_but_do_not_undo(open_shell: Opener, tmp_path: Path) -> None:
    rc = "export PATH=$PATH:/rc FROM_RC=1 GONE=1; hello() { echo hello; }; cd /\n"
    shell = await open_shell(startup="bashrc", env=home(tmp_path, ".bashrc", rc))
    await shell.say("cd /usr; export FROM_RC=2 MINE=\"'x'\"; unset GONE; unset hello")
    before = await shell.say("echo $PATH")
    await shell.run("exit 1")
    assert await shell.say("echo $PATH") == before
    assert await shell.say("echo $PWD $FROM_RC $MINE ${GONE-gone}; hello") == (
        "/usr 2 'x' gone\nhello\n"
    )


BAD_RC = {
    "exits": ("exit 3", "ended the shell"),
    "executes": ("exec sleep 0", "ended the shell"),
    "executes a shell": ("exec bash --norc", ""),
    "reads": ("read x", "asked for input"),
    "hangs": ("sleep 60", "took too long"),
    "loops": ("while :; do :; done", "took too long"),
    "ignores signals": ("trap '' INT HUP TERM; while :; do sleep 1; done", "took too long"),
    "kills": ("kill -9 $$", "ended the shell"),
}


@pytest.mark.parametrize(("text", "complaint"), BAD_RC.values(), ids=BAD_RC.keys())
async def test_bad_startup_files(
    open_shell: Opener, tmp_path: Path, text: str, complaint: str
) -> None:
    env = home(tmp_path, ".bashrc", text)
    began = time.monotonic()
    shell = await open_shell(startup="bashrc", startup_timeout_s=1.0, env=env)
    assert await shell.say("echo fine") == "fine\n"
    assert time.monotonic() - began < 4
    assert len(shell.listener.warnings) == 1
    assert complaint in shell.listener.warnings[0]
    assert "going on without" in shell.listener.warnings[0]


HARMLESS_RC = {
    "fails": "false",
    "syntax error": "if",
    "set -e": "set -e",
    "set -u": "set -u",
    "set -x": "set -x",
    "output": "echo welcome; echo warning >&2",
    "prompt": "PS1='$(date) > '; PROMPT_COMMAND='echo x'; PS2='more'",
    "traps": "trap 'echo debug' DEBUG; trap 'echo bye' EXIT",
    "no terminal echo": "stty -echo raw",
    "history": "HISTFILE=~/history; HISTSIZE=1000; set -o history; shopt -s histappend",
    "timeout": "TMOUT=1; readonly TMOUT",
    "closes descriptors": 'for n in {3..200}; do eval "exec $n>&-"; done',
    "interrupted": "kill -INT $$",
}


@pytest.mark.parametrize("text", HARMLESS_RC.values(), ids=HARMLESS_RC.keys())
async def test_harmless_startup_files(open_shell: Opener, tmp_path: Path, text: str) -> None:
    shell = await open_shell(startup="bashrc", env=home(tmp_path, ".bashrc", text))
    assert (await shell.run("/bin/echo fine")).text.endswith("fine\n")
    assert (await shell.run("/bin/echo again")).text.endswith("again\n")
    assert shell.listener.warnings == []
    assert not (Path(shell.session.config.env["HOME"]) / "history").exists()


async def test_no_home_and_no_user(open_shell: Opener, config: ShellConfig) -> None:
    env = {name: value for name, value in config.env.items() if name != "HOME"}
    bare = ShellSession("bare", replace(config, env={}, startup="bashrc"), listener=Listener())
    await bare.start()
    driver = Driver(bare, Listener())
    assert await driver.say("type -P ls >/dev/null; echo $?") == "0\n"
    await bare.close()
    assert "HOME" not in env


@pytest.fixture
async def no_collector() -> AsyncIterator[None]:
    """Nothing is freed because the garbage collector comes by."""
    gc.disable()
    yield
    gc.enable()


async def test_an_unusable_bash(
    config: ShellConfig, no_collector: None, no_leftovers: None
) -> None:
    for path in ("/nosuch/bash", "/etc/passwd", "/bin/true", "/"):
        session = ShellSession("x", replace(config, bash=path), listener=Listener())
        with pytest.raises(ShellStartError) as caught:
            await session.start()
        assert path in str(caught.value)
        await session.close()


async def test_a_missing_directory(open_shell: Opener, tmp_path: Path) -> None:
    shell = await open_shell(cwd=str(tmp_path / "no" / "such"))
    assert await shell.say("pwd") == f"{tmp_path}\n"
    assert shell.session.cwd == str(tmp_path)


async def test_start_and_close_twice(config: ShellConfig, no_leftovers: None) -> None:
    session = ShellSession("x", config, listener=Listener())
    await session.start()
    pid = session.pid
    await session.start()
    assert session.pid == pid
    await session.close()
    await session.close()
    assert session.pid == 0
    with pytest.raises(SessionClosed):
        session.start_command("true", _Nothing())
    with pytest.raises(SessionClosed):
        await session.start()
    with pytest.raises(SessionClosed):
        await session.reset()


class _Nothing:
    def write(self, data: memoryview | bytes, /) -> None: ...


async def test_close_without_start(config: ShellConfig, no_leftovers: None) -> None:
    await ShellSession("x", config, listener=Listener()).close()


async def test_a_command_without_start(config: ShellConfig, no_leftovers: None) -> None:
    session = ShellSession("x", config, listener=Listener())
    driver = Driver(session, Listener())
    assert await driver.say("echo a") == "a\n"
    await session.close()


async def test_close_while_starting(
    config: ShellConfig, no_leftovers: None, tmp_path: Path
) -> None:
    env = {**config.env, **home(tmp_path, ".bashrc", "sleep 60")}
    for delay in (0, 0.001, 0.01, 0.1):
        session = ShellSession("x", replace(config, env=env, startup="bashrc"), listener=Listener())
        starting = asyncio.create_task(session.start())
        await asyncio.sleep(delay)
        began = time.monotonic()
        await session.close()
        assert time.monotonic() - began < 2
        with pytest.raises(SessionClosed):
            await starting


async def test_cancelled_start(config: ShellConfig, no_leftovers: None, tmp_path: Path) -> None:
    env = {**config.env, **home(tmp_path, ".bashrc", "sleep 0.5")}
    session = ShellSession("x", replace(config, env=env, startup="bashrc"), listener=Listener())
    starting = asyncio.create_task(session.start())
    await asyncio.sleep(0.1)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await session.start()
    assert await Driver(session, Listener()).say("echo a") == "a\n"
    await session.close()


async def test_reset_while_startup_files_hang(
    config: ShellConfig, no_leftovers: None, tmp_path: Path
) -> None:
    """It cuts them short; who waited for the start gets the shell of the reset."""
    text = "trap '' HUP TERM INT; while :; do sleep 1; done"
    env = {**config.env, **home(tmp_path, ".bashrc", text)}
    session = ShellSession("x", replace(config, env=env, startup="bashrc"), listener=Listener())
    starting = asyncio.create_task(session.start())
    await asyncio.sleep(0.1)
    began = time.monotonic()
    await session.reset()
    assert time.monotonic() - began < 3
    await starting
    assert await Driver(session, Listener()).say("echo a") == "a\n"
    await session.close()


async def test_close_while_running(config: ShellConfig, no_leftovers: None) -> None:
    commands = (
        "sleep 60",
        "while :; do :; done",
        "yes",
        "trap '' HUP TERM INT; while :; do sleep 0.01; done",
        "kill -STOP $$; sleep 60",
        "(setsid sleep 60 &); cat",
        "exec sleep 60",
    )
    for command in commands:
        session = ShellSession("x", config, listener=Listener())
        started = Driver(session, Listener()).start(command)
        await asyncio.sleep(0.1)
        began = time.monotonic()
        await session.close()
        assert time.monotonic() - began < 2, command
        result = await started.result()
        assert result.end.reason == "session_ended"
        assert "closed" in result.end.detail


async def test_cancelling_a_wait_changes_nothing(shell: Driver) -> None:
    started = shell.start("sleep 0.2; echo a")
    with pytest.raises(TimeoutError):
        await started.result(0.05)
    assert (await started.result()).text == "a\n"


async def test_low_limit_of_descriptors(config: ShellConfig, no_leftovers: None) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (400, hard))
        async with opened(config) as driver:
            assert await driver.say("echo a; exec 2>err") == "a\n"
            assert await driver.say("echo b >&2") == ""
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
        session = ShellSession("x", config, listener=Listener())
        with pytest.raises(ShellStartError, match="128"):
            await session.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_memory_hungry_commands_go_first(shell: Driver) -> None:
    own = int(Path("/proc/self/oom_score_adj").read_text())
    score = int(await shell.say("cat /proc/self/oom_score_adj"))
    assert score >= max(own, 500)


async def test_a_new_kernel_session_with_the_terminal(shell: Driver) -> None:
    pid, group, session, terminal = (await shell.say("ps -o pid=,pgid=,sid=,tty= -p $$")).split()
    assert pid == group == session == str(shell.session.pid)
    assert terminal.startswith("pts/")
    assert os.getsid(0) != int(session)
