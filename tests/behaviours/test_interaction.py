"""Programs that wait for input are seen to wait, others are not, and input reaches them."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from tether_server import (
    CmdInputAction,
    CommandStillRunning,
    EventStreamRuntime,
    InputTooLong,
    InvalidKey,
    NothingRunning,
)

from .conftest import Shell

NewShell = Callable[[], Shell]
_numbers = itertools.count(1)

in_tools = pytest.mark.parametrize(
    "runtime", [pytest.param("tools", marks=pytest.mark.engine)], indirect=True
)
where_python_is = pytest.mark.parametrize(
    "runtime", ["local", pytest.param("tools", marks=pytest.mark.engine)], indirect=True
)
in_busybox = pytest.mark.parametrize(
    "runtime", [pytest.param("busybox", marks=pytest.mark.engine)], indirect=True
)


@pytest_asyncio.fixture(loop_scope="session")
async def new_shell(
    runtime: EventStreamRuntime, request: pytest.FixtureRequest
) -> AsyncIterator[NewShell]:
    """Makes any number of sessions, which end with the test."""
    place: str = request.node.callspec.params["runtime"]
    made: list[Shell] = []

    def make() -> Shell:
        made.append(Shell(runtime, place, f"i{next(_numbers)}"))
        return made[-1]

    yield make
    await asyncio.gather(*(shell.reset() for shell in made))


def python_of(shell: Shell) -> str:
    return sys.executable if shell.place == "local" else "python3"


# --- seen to wait

WAITS = {
    "read": ("read -p 'name? ' x", "ann\n"),
    "read silently": ("read -s x", "secret\n"),
    "read one key": ("read -rn1 x", "y"),
    "read with a time limit": ("read -t 60 x", "\n"),
    "read in a subshell": ("(read x)", "\n"),
    "read in a loop": ("while read x; do break; done", "\n"),
    "read from the terminal's device": ("read x </dev/tty", "\n"),
    "select": ("select x in a b; do break; done", "1\n"),
    "cat": ("cat", "\x04"),
    "cat in a pipe": ("cat | cat", "\x04"),
    "nested shell": ('"$BASH" --norc --noprofile', "exit\n"),
}


@pytest.mark.parametrize(("command", "answer"), WAITS.values(), ids=WAITS.keys())
async def test_a_program_that_reads_is_seen_to_wait(
    shell: Shell, command: str, answer: str
) -> None:
    await sees_and_answers(shell, command, answer)


async def sees_and_answers(shell: Shell, command: str, answer: str) -> None:
    seen = await shell.run(command, timeout_s=20)
    assert (seen.status, seen.wait_evidence) == ("waiting_for_input", "exact"), repr(seen)
    assert seen.exit_code is None
    await refuses_commands(shell)
    ended = await shell.type(answer, timeout_s=20)
    assert ended.status == "completed", ended
    assert "typed-into-it" not in seen.content + ended.content
    assert await shell.output("echo next") == "next\n"


async def refuses_commands(shell: Shell) -> None:
    with pytest.raises(CommandStillRunning) as caught:
        await shell.run("echo typed-into-it")
    assert "type into it" in caught.value.hint


PYTHON_WAITS = {
    "input": ("-c 'input(\"? \")'", "x\n"),
    "getpass": ("-c 'import getpass; getpass.getpass()'", "secret\n"),
    "prompt": ("-q", "exit()\n"),
    "readline of a thread beside the main one": (
        "-c 'import threading, sys, time, os\n"
        "threading.Thread(target=lambda: (sys.stdin.readline(), os._exit(0))).start()\n"
        "time.sleep(60)'",
        "\n",
    ),
    "select": ("-c 'import select; select.select([0], [], [])'", "\n"),
    "poll": ("-c 'import select; p = select.poll(); p.register(0, 1); p.poll()'", "\n"),
    "event loop": (
        "-c 'import asyncio, sys\nasync def main():\n loop = asyncio.get_running_loop()\n"
        " done = loop.create_future()\n loop.add_reader(0, done.set_result, None)\n"
        " loop.call_later(60, print)\n await done\nasyncio.run(main())'",
        "\n",
    ),
}


@where_python_is
@pytest.mark.parametrize(("code", "answer"), PYTHON_WAITS.values(), ids=PYTHON_WAITS.keys())
async def test_a_python_that_reads_is_seen_to_wait(shell: Shell, code: str, answer: str) -> None:
    command = f"PYTHON_BASIC_REPL=1 {python_of(shell)} {code}"
    await sees_and_answers(shell, command, answer)


TOOL_WAITS = {
    "node prompt": ("node", ".exit\n"),
    "less": ("seq 1000 | less", "q"),
    "vi": ("vi -u NONE /etc/passwd", ":q!\r"),
    "top": ("top", "q"),
    "a question of ssh-keygen": ("ssh-keygen -q -f /etc/passwd", "n\n"),
}


@in_tools
@pytest.mark.parametrize(("command", "answer"), TOOL_WAITS.values(), ids=TOOL_WAITS.keys())
async def test_a_tool_that_reads_is_seen_to_wait(shell: Shell, command: str, answer: str) -> None:
    await sees_and_answers(shell, command, answer)


BUSYBOX_WAITS = {
    "vi": ("vi /etc/passwd", ":q!\r"),
    "less": ("seq 1000 | less", "q"),
    "top": ("top", "q"),
    "sh": ("sh", "exit\n"),
}


@in_busybox
@pytest.mark.parametrize(("command", "answer"), BUSYBOX_WAITS.values(), ids=BUSYBOX_WAITS.keys())
async def test_an_applet_that_reads_is_seen_to_wait(
    shell: Shell, command: str, answer: str
) -> None:
    await sees_and_answers(shell, command, answer)


async def test_a_wait_is_seen_at_once(
    new_shell: NewShell, record_property: Callable[[str, object], None]
) -> None:
    """Silent until then for as long as it may be: nothing but the wait itself is a sign."""

    async def delay(silent_s: float) -> float:
        shell = new_shell()
        await shell.output("true")
        seen = await shell.run(f"sleep {silent_s}; t=$EPOCHREALTIME; read -s x")
        now = time.time()
        assert (seen.status, seen.wait_evidence) == ("waiting_for_input", "exact")
        await shell.type("\n")
        return now - float(await shell.output('echo "$t"'))

    delays = sorted(await asyncio.gather(*(delay(0.13 * n) for n in range(1, 13))))
    record_property("p50_s", delays[len(delays) // 2])
    record_property("max_s", delays[-1])
    assert delays[len(delays) // 2] < 0.5
    assert delays[-1] < 1.0


async def test_each_of_several_questions_is_seen(shell: Shell) -> None:
    seen = await shell.run(
        "read -p 'a? ' a; read -p 'b? ' b; sleep 0.3; read -p 'c? ' c; echo $a$b$c"
    )
    for question, answer in (("a? ", "1\n"), ("b? ", "2\n"), ("c? ", "3\n")):
        assert (seen.status, seen.content.split("\n")[-1]) == ("waiting_for_input", question)
        seen = await shell.type(answer)
    assert (seen.status, seen.content.split("\n")[-2]) == ("completed", "123")


async def test_a_wait_is_told_to_whoever_asks_later(shell: Shell) -> None:
    seen = await shell.run("sleep 0.6; read x", timeout_s=0.1)
    assert (seen.status, seen.wait_evidence) == ("timeout", None)
    seen = await shell.poll(20)
    assert (seen.status, seen.wait_evidence) == ("waiting_for_input", "exact")
    seen = await shell.poll(20)
    assert (seen.status, seen.content) == ("waiting_for_input", "")


# --- not seen to wait

BUSY = {
    "sleep": "sleep 60",
    "loop": "while :; do :; done",
    "loop that sleeps": "while sleep 0.05; do :; done",
    "wait": "sleep 60 & wait",
    "tail": "tail -f /etc/passwd",
    "reads a pipe": "sleep 60 | cat",
    "reads a fifo": 'f=$(mktemp -u); mkfifo "$f"; cat "$f"',
    "reader in the background": "(sleep 0.05; cat) & sleep 60",
    "no input": "sleep 60 </dev/null",
    "echo is off": "stty -echo; sleep 60",
    "raw terminal": "stty raw -echo; sleep 60",
}
BUSY_PYTHON = {
    "http server": "-m http.server 0 --bind 127.0.0.1",
    "event loop": "-c 'import asyncio; asyncio.run(asyncio.sleep(60))'",
    "server on an event loop": "-c 'import asyncio\nasync def main():\n"
    ' async with await asyncio.start_server(print, "127.0.0.1", 0) as s: await s.serve_forever()\n'
    "asyncio.run(main())'",
    "computing": "-c 'while True: pass'",
    "compiling": '-c \'while True: compile("x = 1\\n" * 20_000, "x", "exec")\'',
    "a thread that waits for another": "-c 'import threading as t\n"
    "t.Thread(target=t.Event().wait).start(); t.Event().wait()'",
    "looks for keys now and then": "-c 'import select, time\n"
    "while True: select.select([0], [], [], 0); time.sleep(0.01)'",
}
BUSY_TOOLS = {
    "node server": 'node -e \'require("http").createServer().listen(0, "127.0.0.1")\'',
    "node timer": "node -e 'setTimeout(() => 1, 60000)'",
    "script": "script -qc 'sleep 60' /dev/null",
    "script around a server": "script -qc 'python3 -m http.server 0 --bind 127.0.0.1' /dev/null",
    "su": "su nobody -s /bin/bash -c 'sleep 60'",
    "sudo": "sudo sleep 60",
    "a lock": "exec 9>/tmp/lock; flock 9; flock /tmp/lock true",
    "git": "git daemon --listen=127.0.0.1 --port=0 --export-all /tmp",
    "sshd": "mkdir -p /run/sshd; /usr/sbin/sshd -D -o ListenAddress=127.0.0.1:2299",
}


async def none_waits(new_shell: NewShell, commands: list[str]) -> None:
    """Each for two seconds, all at the same time."""

    async def status(command: str) -> tuple[str, str | None]:
        seen = await new_shell().run(command, timeout_s=2)
        return seen.status, seen.wait_evidence

    found = await asyncio.gather(*map(status, commands))
    assert dict(zip(commands, found, strict=True)) == dict.fromkeys(commands, ("timeout", None))


async def test_what_is_busy_or_asleep_is_not_waiting(new_shell: NewShell) -> None:
    await none_waits(new_shell, list(BUSY.values()))


@where_python_is
async def test_a_python_that_is_busy_or_serves_is_not_waiting(new_shell: NewShell) -> None:
    python = python_of(new_shell())
    await none_waits(new_shell, [f"{python} {code}" for code in BUSY_PYTHON.values()])


@in_tools
async def test_a_tool_that_is_busy_or_serves_is_not_waiting(new_shell: NewShell) -> None:
    await none_waits(new_shell, list(BUSY_TOOLS.values()))


# --- how sure it is

USER = (
    "id ann >/dev/null 2>&1 || { useradd -m -s /bin/bash ann && echo ann:secret | chpasswd && "
    "echo 'ann ALL=(ALL) ALL' >/etc/sudoers.d/ann; }"
)
SSHD = (
    "mkdir -p /run/sshd ~/.ssh; [ -e ~/.ssh/id_ed25519 ] || "
    "{ ssh-keygen -qN '' -t ed25519 -f ~/.ssh/id_ed25519; "
    "cp ~/.ssh/id_ed25519.pub ~/.ssh/authorized_keys; "
    "printf 'StrictHostKeyChecking no\\nLogLevel ERROR\\n' >~/.ssh/config; }; "
    "/usr/sbin/sshd -o ListenAddress=127.0.0.1:2222 2>/dev/null || :"
)

HEARSAY = {
    "script": ("script -qc 'read x; echo got $x' /dev/null", {"inferred"}),
    "script, silently": ("script -qc 'stty -echo; read x; echo got $x' /dev/null", {"inferred"}),
    "tmux": ("tmux -L t$RANDOM -f /dev/null new 'read x; echo got $x; sleep 0.3'", {"inferred"}),
    "screen": ("screen -c /dev/null sh -c 'read x; echo got $x; sleep 0.3'", {"inferred"}),
    "ssh": ("ssh -tp 2222 127.0.0.1 'read x; echo got $x'", {"inferred"}),
    # Nothing of another user's program can be read without the capability that containers lack.
    "su": ("su ann -c 'read -s x; echo got $x'", {"inferred"}),
    "su with a shell": ("su ann", {"inferred"}),
    "su, with nothing to see it by": ("su ann -c 'read x; echo got $x'", {"unknown"}),
    "sudo in su": ("su ann --session-command 'sudo -k; sudo echo got'", {"inferred"}),
    "in sudo": ("sudo bash -c 'read x; echo got'", {"inferred"}),
}
ANSWERS = {"su with a shell": "echo got; exit\n", "sudo in su": "secret\n"}


@in_tools
@pytest.mark.parametrize("name", HEARSAY)
async def test_what_cannot_be_looked_into_is_not_said_to_be_sure(shell: Shell, name: str) -> None:
    command, evidence = HEARSAY[name]
    await shell.output(f"{USER}; {SSHD}")
    seen = await shell.run(command, timeout_s=20)
    assert (seen.status, seen.wait_evidence in evidence) == ("waiting_for_input", True), seen
    await refuses_commands(shell)
    seen = await shell.type(ANSWERS.get(name, "it\n"), timeout_s=20)
    content = seen.content
    while seen.status == "waiting_for_input":  # it was seen again before it ended
        seen = await shell.poll(1)
        content += seen.content
    assert (seen.status, "got" in content) == ("completed", True), content
    assert "typed-into-it" not in content


@in_tools
async def test_what_may_be_a_wait_is_told_once(shell: Shell) -> None:
    """It may as well be at work: a poll waits for more than the same doubt."""
    await shell.output(USER)
    seen = await shell.run("su ann -c 'sleep 7; echo done'", timeout_s=20)
    assert (seen.status, seen.wait_evidence) == ("waiting_for_input", "unknown")
    seen = await shell.poll(timeout_s=0.1)
    assert (seen.status, seen.wait_evidence) == ("waiting_for_input", "unknown")
    seen = await shell.poll(timeout_s=20)
    assert (seen.status, seen.content) == ("completed", "done\n")


# --- what reaches it


async def test_keys_reach_it(shell: Shell) -> None:
    await shell.run("cat -v")
    shown = ""
    for key in ("a", "Tab", "Escape", "Up", "Left", "Home", "Delete", "PageDown", "F1", "F12"):
        shown += (await shell.type(key=key)).content
    shown += (await shell.type(key="Enter")).content
    ended = await shell.type(key="C-d")
    assert ended.status == "completed"
    lines = (shown + ended.content).split("\n")
    assert lines[1] == "a\t^[^[[A^[[D^[[H^[[3~^[[6~^[OP^[[24~"


async def test_cursor_keys_are_sent_as_the_program_asked_for_them(shell: Shell) -> None:
    await shell.run("printf '\\e[?1h'; cat -v; printf '\\e[?1l'; cat -v")
    shown = ""
    for key in ("Up", "Home", "PageUp", "Enter", "C-d", "Up", "Enter", "C-d"):
        shown += (await shell.type(key=key)).content
    lines = shown.split("\n")
    assert {line for line in lines if line.startswith("^[O")} == {"^[OA^[OH^[[5~"}
    assert "^[[A" in lines


async def test_control_c_interrupts(shell: Shell) -> None:
    await shell.run("sleep 60", timeout_s=0.1)
    ended = await shell.type(key="C-c")
    assert (ended.status, ended.exit_code) == ("interrupted", 130)


async def test_control_c_is_a_key_for_a_program_that_wants_it(shell: Shell) -> None:
    await shell.run("stty raw -echo; dd bs=1 count=1 2>/dev/null | od -An -tx1")
    ended = await shell.type(key="C-c")
    assert (ended.status, ended.content.strip()) == ("completed", "03")


async def test_control_z_stops_and_the_shell_goes_on(shell: Shell) -> None:
    await shell.run("sleep 60; echo after", timeout_s=0.1)
    stopped = await shell.type(key="C-z")
    assert stopped.status in ("completed", "interrupted")
    assert "Stopped" in await shell.output("jobs")
    await shell.run("kill %1")


async def test_control_d_is_the_end_of_the_input(shell: Shell) -> None:
    await shell.run("wc -c")
    await shell.type("abc\n")
    assert (await shell.type(key="C-d")).content.split()[-1] == "4"


async def test_text_is_typed_as_it_is(shell: Shell) -> None:
    await shell.run("IFS= read -r x; printf '<%s>' \"$x\"")
    ended = await shell.type(" \t'\"$HOME`\\ é😀 \n")
    assert ended.content.endswith("< \t'\"$HOME`\\ é😀 >")


async def test_much_text_is_typed_as_the_program_reads_it(shell: Shell) -> None:
    text = "".join(f"line {number}\n" for number in range(20_000))
    await shell.run("stty -echo; head -n 20000 | tail -n 1")
    ended = await shell.type(text, timeout_s=30)
    assert (ended.status, ended.content) == ("completed", "line 19999\n")


async def test_a_line_that_would_be_cut_is_refused(shell: Shell) -> None:
    await shell.run("read x; echo ${#x}")
    for given in ({"text": "x" * 4096}, {"paste": "x" * 4096}):
        with pytest.raises(InputTooLong) as caught:
            await shell.type(**given)
        assert "redirect" in caught.value.hint
    ended = await shell.type("x" * 4095 + "\n")
    assert ended.content.endswith("4095\n")


async def test_a_paste_is_typed_where_nothing_else_was_asked_for(shell: Shell) -> None:
    await shell.run("read a; read b; echo $a-$b")
    assert (await shell.type(paste="one\ntwo\n")).content.endswith("one-two\n")


async def test_a_paste_goes_between_marks_where_the_program_asked_for_them(shell: Shell) -> None:
    read = "IFS= read -rsd Z x; printf '%q\\n' \"$x\""
    await shell.run(f"printf '\\e[?2004h'; {read}; {read}; printf '\\e[?2004l'; {read}")
    shown = (await shell.type(paste="one\n\ttwoZ")).content
    shown += (await shell.type("Z")).content
    shown += (await shell.type(paste="threeZ")).content
    assert "$'\\E[200~one\\n\\ttwo'\n$'\\E[201~'\n" in shown
    assert shown.endswith("three\n")


async def test_what_was_typed_and_not_read_is_not_the_next_command_s(shell: Shell) -> None:
    await shell.run("sleep 0.4", timeout_s=0.05)
    await shell.type("left\nover\n")
    await shell.poll(5)
    assert await shell.output('read -t 0.2 x; echo "<$x>"') == "<>\n"


async def test_what_runs_nowhere_cannot_be_typed_to(shell: Shell) -> None:
    with pytest.raises(NothingRunning):
        await shell.type("x")
    await shell.output("true")
    for given in ({"text": "x"}, {"key": "Enter"}, {"paste": "x"}):
        with pytest.raises(NothingRunning):
            await shell.type(**given)


async def test_a_key_that_is_none_is_refused(shell: Shell) -> None:
    await shell.run("read x")
    with pytest.raises(InvalidKey) as caught:
        await shell.type(key="Nonsense")
    assert "C-c" in str(caught.value)
    assert (await shell.type(key="Enter")).status == "completed"


async def test_a_command_meanwhile_is_refused_and_not_typed(shell: Shell) -> None:
    await shell.run("sleep 60", timeout_s=0.1)
    await refuses_commands(shell)
    ended = await shell.interrupt()
    assert "typed-into-it" not in ended.content


async def test_input_is_one_of_three() -> None:
    with pytest.raises(ValueError, match="exactly one"):
        CmdInputAction(text="x", paste="y")
