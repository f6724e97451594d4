"""Nothing a command does forges, delays or steals the end of a command."""

from __future__ import annotations

import asyncio
import time

import pytest

from .conftest import Driver

# What leaves the shell as it is: the next command runs in the same one.
HARMLESS = {
    "PS1": "PS1='bash-5.2$ '",
    "PS1 with a substitution": "PS1='$(echo hello) \\u@\\h$ '; PS2='more> '",
    "PS0": "PS0='zero '",
    "PROMPT_COMMAND": "PROMPT_COMMAND='echo prompt'",
    "greedy PROMPT_COMMAND": "PROMPT_COMMAND='cat>/dev/null'",
    "PROMPT_COMMAND array": "PROMPT_COMMAND=('cat>/dev/null' 'exit 3')",
    "stty -echo": "stty -echo",
    "stty raw": "stty raw",
    "stty without signals": "stty -isig -icanon intr undef",
    "stty 0": "stty 0 2>/dev/null; true",
    "stty onlcr": "stty opost onlcr",
    "clear": "clear >/dev/null; tput reset >/dev/null 2>&1; true",
    "functions named as builtins": "; ".join(
        f"{name}() {{ builtin echo hijacked; }}"
        for name in ("printf", "eval", "command", "read", "exec", "trap", "unset", "set", ":")
    ),
    "declare function": "declare() { echo hijacked; }; return() { echo hijacked; }",
    "builtin function": "builtin() { echo hijacked; }",
    "aliases named as builtins": "; ".join(
        f"alias {name}='echo hijacked'"
        for name in ("printf", "eval", "builtin", "command", "read", "exec", "trap", "unset")
    ),
    "all functions removed": "for f in $(compgen -A function); do unset -f $f; done",
    "closing low descriptors": 'for n in {3..255}; do eval "exec $n>&-"; done 2>/dev/null; true',
    "writing to descriptors": (
        "for n in {3..255}; do printf '\\0x\\0' >&$n; done 2>/dev/null; true"
    ),
    "reading descriptors": (
        "for n in {3..255}; do timeout 1 cat <&$n & done 2>/dev/null; kill %% 2>/dev/null; wait"
    ),
    "forging by descriptor": "for n in {3..1100}; do printf '\\0x\\00' >&$n; done 2>/dev/null",
    "forging through /proc": (
        "for f in /proc/$$/fd/*; do case $f in */[012]) ;; *) [ -e $f ] && timeout 1 "
        "printf '\\0x\\00' >$f;; esac; done 2>/dev/null; true"
    ),
    "reading through /proc": (
        "for f in /proc/$$/fd/1[0-9]*; do [ -S $f ] && timeout 1 cat $f; done 2>/dev/null; true"
    ),
    "IFS": "IFS=17",
    "own descriptors": "exec 8>lock9 9>lock; flock -n 9 && exec 10>ten 11<ten",
    "kill 0": "kill 0",
    "kill -STOP": "kill -STOP $$",
    "suspend": "suspend",
    "signals": "kill -QUIT $$; kill -TSTP $$; kill -TERM $$; kill -WINCH $$",
    "exec of nothing": "exec /nosuch",
    "readonly": "readonly -f $(compgen -A function); readonly PROMPT_COMMAND=true TMOUT=1",
    "printing anything": "cat /bin/true; printf '\\0\\0\\033[?1049h'",
    "low limit": "ulimit -n 256",
    "keyword option": "set -k",
    "greedy background job": "(sleep 0.2; cat) & disown",
    "unset everything": "unset -v PWD OLDPWD HOME IFS TERM PATH_ BASH_ENV",
    "no glob, no clobber": "set -fC; shopt -u expand_aliases sourcepath interactive_comments",
    "deep directory": "mkdir -p 'a b/\"c\"' && cd 'a b/\"c\"'",
    "new lines in the directory": "mkdir -p $'x\\ny' && cd $'x\\ny'",
}


@pytest.mark.parametrize("command", HARMLESS.values(), ids=HARMLESS.keys())
async def test_the_shell_stays(shell: Driver, command: str) -> None:
    pid = shell.session.pid
    first = await shell.run(command)
    assert first.end.reason == "completed"
    assert await shell.say("/bin/echo fine") == "fine\n"
    assert (await shell.run("(exit 5)")).code == 5
    assert await shell.say("test -t 0 && /bin/echo a") == "a\n"
    assert shell.session.pid == pid
    assert shell.listener.lost == []


# What ends or breaks the shell: said at once, and the next command finds a new one.
FATAL = {
    "exit": ("exit 3", 3),
    "exit 0": ("exit", 0),
    "exec true": ("exec true", 0),
    "exec false": ("exec false", 1),
    "exec bash": ("exec bash --norc", None),
    "kill -9": ("kill -9 $$", 137),
    "kill -9 0": ("kill -9 0", 137),
    "logout": ("exit 7; echo no", 7),
    "exit trap": ("trap 'echo bye' EXIT; exit 4", 4),
    "errexit": ("set -e; false; echo no", 1),
    "strict mode": ("set -euo pipefail; echo a | grep b; echo no", 1),
    "exit with a job": ("(sleep 100)& exit 3", 3),
    "closed descriptors": ('for n in {3..1100}; do eval "exec $n>&-"; done 2>/dev/null', None),
    "extdebug": ("shopt -s extdebug; trap false DEBUG", None),
    "disabled builtins": ("enable -n builtin eval printf", None),
}


@pytest.mark.parametrize(("command", "code"), FATAL.values(), ids=FATAL.keys())
async def test_the_shell_is_replaced(shell: Driver, command: str, code: int | None) -> None:
    await shell.say("cd / && export KEPT='a \"b\" $c'; plain=1")
    pid = shell.session.pid
    began = time.monotonic()
    result = await shell.run(command)
    assert result.end.reason == "session_ended"
    assert result.code == code
    assert result.end.state_lost is not None
    assert result.end.detail
    assert "no" not in result.text.split()
    text = await shell.say('echo "$PWD" "$KEPT" "${plain-unset}"')
    assert text == '/ a "b" $c unset\n'
    assert time.monotonic() - began < 1
    assert shell.session.pid != pid
    assert len(shell.listener.lost) == 1


async def test_strict_mode_from_an_earlier_command(shell: Driver) -> None:
    await shell.say("set -euo pipefail")
    result = await shell.run("echo a | grep b")
    assert (result.end.reason, result.code) == ("session_ended", 1)
    assert await shell.say("echo $-") == (await shell.say("echo $-"))


async def test_deleted_directory(shell: Driver) -> None:
    await shell.say("mkdir -p gone/deep && cd gone/deep && rmdir ../deep ../../gone")
    assert (await shell.run("echo still here")).text == "still here\n"
    await shell.run("exit 1")
    home = shell.session.config.cwd
    assert await shell.say("pwd") == f"{home}\n"


async def test_idle_timeout_is_neutralised(shell: Driver) -> None:
    await shell.say("TMOUT=1")
    await asyncio.sleep(2.5)
    assert await shell.say("echo $TMOUT") == "1\n"
    assert shell.listener.lost == []


async def test_forged_reports_are_told(shell: Driver) -> None:
    await shell.say("printf '\\0%s\\00\\00\\0/\\0\\0' 0123456789abcdef >&1002; sleep 0.05")
    assert len(shell.listener.warnings) == 1
    assert shell.session.last_status == 0


async def test_a_prompt_that_runs_commands(shell: Driver) -> None:
    await shell.say("PS1='$(echo x >> ran)' PS0='$(echo x >> ran)' PS2='$(cat)'")
    for _ in range(5):
        assert await shell.say("echo $PS1") == "\\[\\]\n"
    assert await shell.say("cat ran 2>/dev/null | wc -l") == "0\n"
