"""Programs that wait for input are seen to, others are not, and input reaches them."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time

import pytest

from tether_runtime_client.shell import (
    CommandInvalid,
    CommandRunning,
    InputTooLong,
    NoForeground,
    UnknownKey,
)

from .conftest import Driver

PYTHON = os.path.realpath(sys.executable)

WAITING = {
    "read": ("read -p 'name? ' x", "name? ", ""),
    "read one key": ("read -n1 x", "", "x"),
    "read silently": ("read -s x", "", ""),
    "read in a subshell": ("(read x; echo $x)", "", ""),
    "cat": ("cat", "", "\x04"),
    "cat in a pipe": ("cat | cat", "", "\x04"),
    "python input": (f"{PYTHON} -c 'input(\"? \")'", "? ", ""),
    "python password": (f"{PYTHON} -c 'import getpass; getpass.getpass()'", "assword: ", ""),
    "python prompt": (f"PYTHON_BASIC_REPL=1 {PYTHON} -q", ">>> ", "exit()\n"),
    "a thread that reads": (
        f"{PYTHON} -c 'import threading, sys, time\n"
        "t = threading.Thread(target=sys.stdin.readline); t.start(); t.join()'",
        "",
        "",
    ),
    "a thread beside one at work": (
        f"{PYTHON} -c 'import threading, sys, time, os\n"
        "threading.Thread(target=lambda: (sys.stdin.readline(), os._exit(0))).start()\n"
        "time.sleep(60)'",
        "",
        "",
    ),
    "select": (f"{PYTHON} -c 'import select; select.select([0], [], [])'", "", ""),
    "poll": (
        f"{PYTHON} -c 'import select; p = select.poll(); p.register(0, 1); p.poll()'",
        "",
        "",
    ),
    "epoll": (
        f"{PYTHON} -c 'import select; p = select.epoll(); p.register(0, 1); p.poll()'",
        "",
        "",
    ),
    "/dev/tty": ("head -1 </dev/tty", "", ""),
    "nested shell": ("bash --norc", "bash", "exit\n"),
    "dash": ("dash", "", "exit\n"),
    "node": ("node", "> ", ".exit\n"),
    "less": ("seq 1000 | less", "\x1b", "q"),
    "vim": ("vim -u NONE -N", "~", ":q!\r"),
    "top": ("top", "\x1b", "q"),
}


@pytest.mark.parametrize(("command", "prompt", "answer"), WAITING.values(), ids=WAITING.keys())
async def test_waiting_is_seen(shell: Driver, command: str, prompt: str, answer: str) -> None:
    if not shutil.which(command.split()[-1 if "|" in command else 0]) and command[0] in "ndtv":
        pytest.skip(f"{command} is not here")
    started = shell.start(command)
    assert await started.waits() == "exact"
    await started.output.until(prompt.encode())
    assert await started.waits() == "exact"
    with pytest.raises(CommandRunning):
        shell.start("echo typed into it")
    await shell.type(answer or "an answer\n")
    result = await started.result()
    assert b"typed into" not in result.output
    assert await shell.say("echo next") == "next\n"


BUSY = {
    "sleep": "sleep 60",
    "builtin loop": "while :; do :; done",
    "sleeping loop": "while sleep 0.05; do :; done",
    "wait": "sleep 60 & wait",
    "tail": "touch file; tail -f file",
    "http server": f"{PYTHON} -m http.server 0 --bind 127.0.0.1",
    "idle event loop": (
        f"{PYTHON} -c 'import asyncio\nasync def main(): await asyncio.sleep(60)\n"
        "asyncio.run(main())'"
    ),
    "computing": f"{PYTHON} -c 'while True: pass'",
    "reads a pipe": "sleep 60 | cat",
    "reads a fifo": "mkfifo fifo; cat fifo",
    "shell reads a fifo": "mkfifo fifo; read x <fifo",
    "waits for a lock": "exec 9>lock; flock 9; flock lock true",
    "background reader": "(sleep 0.05; cat) & sleep 60",
    "redirected input": "sleep 60 < /dev/null",
    "node server": 'node -e \'require("http").createServer().listen(0, "127.0.0.1")\'',
    "script around sleep": "script -qc 'sleep 60' /dev/null",
}


@pytest.mark.parametrize("command", BUSY.values(), ids=BUSY.keys())
async def test_busy_is_not_waiting(shell: Driver, command: str) -> None:
    started = shell.start(command)
    with pytest.raises(TimeoutError):
        await started.waits(1.2)
    assert started.command.wait_evidence is None
    shell.session.interrupt("SIGKILL" if "script" in command else "SIGINT")
    await started.result()
    assert await shell.say("echo next") == "next\n"


async def test_waiting_is_seen_soon(shell: Driver) -> None:
    for _ in range(5):
        started = shell.start("sleep 0.7; read x")
        await asyncio.sleep(0.7)
        began = time.monotonic()
        await started.waits()
        assert time.monotonic() - began < 0.4  # the sleep ended up to 0.1 s after the loop's
        await shell.type("\n")
        await started.result()


async def test_a_question_is_there_when_its_wait_is_told(shell: Driver) -> None:
    """Also what the loop has not come to read."""
    shell.session.hold_output()
    started = shell.start("printf 'name? '; read x")
    await started.waits()
    assert started.output.data == b"name? "
    shell.session.release_output()
    await shell.type("\n")
    await started.result()


async def test_waiting_after_an_answer(shell: Driver) -> None:
    started = shell.start("read a; read b; sleep 0.3; read c; echo $a$b$c")
    for text in ("1\n", "2\n", "3\n"):
        await started.waits()
        await shell.type(text)
        assert started.command.wait_evidence is None
    assert (await started.result()).text.endswith("123\n")


@pytest.mark.parametrize("relay", ["script -qc 'read x; echo got $x' /dev/null"])
async def test_relays_are_inferred(shell: Driver, relay: str) -> None:
    started = shell.start(relay)
    assert await started.waits() == "inferred"
    await shell.type("it\n")
    assert "got it" in (await started.result()).text


async def test_tmux_is_inferred(shell: Driver) -> None:
    if not shutil.which("tmux"):
        pytest.skip("tmux is not here")
    started = shell.start("tmux -L tether-test -f /dev/null new 'read x'")
    assert await started.waits() == "inferred"
    await shell.type("\n")
    await started.result()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes the user without a password")
async def test_another_user(shell: Driver) -> None:
    started = shell.start("su nobody -s /bin/bash -c 'read x; echo got $x'")
    assert await started.waits() in ("exact", "inferred")
    await shell.type("it\n")
    assert "got it" in (await started.result()).text


async def test_keys(shell: Driver) -> None:
    started = shell.start("cat -v")
    await started.waits()
    for key in ("a", "Tab", "Escape", "Up", "F1", "Enter"):
        shell.session.send_key(key)
    await started.output.until(b"^[[A^[OP\n")
    shell.session.send_key("C-d")
    assert (await started.result()).code == 0


async def test_control_c_and_z_keys(shell: Driver) -> None:
    started = shell.start("sleep 60")
    await asyncio.sleep(0.05)
    shell.session.send_key("C-c")
    assert (await started.result()).end.reason == "interrupted"
    started = shell.start("sleep 60; echo after")
    await asyncio.sleep(0.05)
    shell.session.send_key("C-z")
    assert (await started.result()).code is not None
    assert "Stopped" in await shell.say("jobs")
    assert (await shell.run("kill %1; wait %1")).end.reason == "completed"


async def test_control_c_in_a_raw_program(shell: Driver) -> None:
    started = shell.start("stty raw -echo; head -c1 | od -An -tx1")
    await started.waits()
    shell.session.send_key("C-c")
    assert "03" in (await started.result()).text


async def test_end_of_file(shell: Driver) -> None:
    started = shell.start("wc -c")
    await started.waits()
    await shell.type("abc\n")
    shell.session.send_key("C-d")
    assert (await started.result()).text.endswith("4\n")


async def test_unread_input_is_not_the_next_commands(shell: Driver) -> None:
    started = shell.start("sleep 0.2")
    await shell.type("left over\nmore\n")
    await started.result()
    result = shell.start('read -t 0.2 x; echo "<$x>"')
    assert (await result.result()).text == "<>\n"


async def test_a_large_paste(shell: Driver) -> None:
    text = "".join(f"line {n}\n" for n in range(20_000))
    started = shell.start("stty -echo; head -n 20000 | sha256sum; wc -l <<< x")
    await started.waits()
    await shell.type(text)
    import hashlib

    assert hashlib.sha256(text.encode()).hexdigest() in (await started.result()).text


async def test_lines_that_do_not_fit(shell: Driver) -> None:
    started = shell.start("read x; echo ${#x}")
    await started.waits()
    with pytest.raises(InputTooLong) as caught:
        await shell.type("x" * 4096)
    assert (caught.value.length, caught.value.limit) == (4096, 4095)
    await shell.type("x" * 4095 + "\n")
    assert (await started.result()).text.endswith("4095\n")


async def test_long_input_in_raw_mode(shell: Driver) -> None:
    started = shell.start("stty raw -echo; head -c 20000 | wc -c")
    await started.waits()
    await shell.type("x" * 20_000)
    assert (await started.result()).text == "20000\n"


async def test_nothing_to_type_to(shell: Driver) -> None:
    for act in (
        lambda: shell.session.send_key("Enter"),
        lambda: shell.session.interrupt(),
    ):
        with pytest.raises(NoForeground):
            act()
    with pytest.raises(NoForeground):
        await shell.type("x")
    with pytest.raises(UnknownKey):
        shell.session.send_key("Nonsense")


async def test_a_command_while_one_runs(shell: Driver) -> None:
    started = shell.start("sleep 60")
    await asyncio.sleep(0.1)
    with pytest.raises(CommandRunning) as caught:
        shell.start("echo no")
    assert caught.value.command == "sleep 60"
    assert caught.value.foreground == ("sleep",)
    assert "sleep" in str(caught.value)
    shell.session.interrupt()
    await started.result()


async def test_invalid_commands(shell: Driver) -> None:
    with pytest.raises(CommandInvalid):
        shell.start("echo \0")
    with pytest.raises(CommandInvalid):
        shell.start("true", env={"a-b": "1"})
    with pytest.raises(CommandInvalid):
        shell.start("true", cwd="")
    assert await shell.say("echo next") == "next\n"


async def test_size(shell: Driver) -> None:
    assert await shell.say("stty size") == "24 200\n"
    shell.session.resize(50, 100)
    assert await shell.say("stty size") == "50 100\n"
    await shell.run("exit 1")
    assert await shell.say("stty size") == "50 100\n"


async def test_foreground_names(shell: Driver) -> None:
    started = shell.start("sleep 60 | cat")
    await asyncio.sleep(0.1)
    assert sorted(shell.session.foreground()) == ["cat", "sleep"]
    shell.session.interrupt()
    await started.result()
    assert shell.session.foreground() == ["bash"]
