"""Environment: where commands find their variables, for one command, a session, a whole sandbox."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tether_runtime_client.protocol.defaults import DEFAULT_ENVIRONMENT
from tether_server import (
    ActionLost,
    CmdRunAction,
    EventStreamRuntime,
    FileWriteAction,
    InvalidAction,
    InvalidCommand,
    SessionWarning,
    SetEnvAction,
    SyncEventStreamRuntime,
    WorkingDirectoryMissing,
)

from ..places import ENGINE
from .conftest import Shell

VALUES = {
    "quotes": "a\"b'c`d",
    "dollars": "$HOME ${x} $(date) $((1)) $$",
    "newlines": "\na\n\nb\n",
    "backslashes": "\\a\\\\b\\n\\",
    "blanks": "  a\t b  ",
    "control characters": "\x01\x1b[31m\r\x7f",
    "unicode": "žluť 🐎 \uffff",
    "a glob": "* ? [a] ~ {a,b} !x #y",
    "nothing": "",
    "an equals sign": "=a=b=",
    "64 kB": "x$\"'\n" * 13_000,
}


def new_name() -> str:
    """A variable that no other test knows of: they share their runtimes."""
    return f"T_{secrets.token_hex(4)}"


def another(shell: Shell) -> Shell:
    """A session beside it, which nobody has used."""
    return replace(shell, session=f"{shell.session}-{secrets.token_hex(2)}")


def told(name: str) -> str:
    """A command that tells what a program finds under the name."""
    return f"""sh -c 'printf "%s\\n" "${{{name}-unset}}"'"""


async def shown(shell: Shell, name: str) -> str:
    """What a program of the session finds."""
    return (await shell.run(told(name), ansi=True)).content.removesuffix("\n")


async def executed(runtime: EventStreamRuntime, name: str) -> str:
    """What an exec finds."""
    return (await runtime.exec(told(name))).stdout.decode().removesuffix("\n")


# --- for one command -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", VALUES)
async def test_variables_of_one_command(shell: Shell, name: str) -> None:
    await shell.output("export A=1; B=2")
    env = {"A": VALUES[name], "B": "3", "NEW": VALUES[name]}
    command = f'printf %s "$A"; printf "|$B|"; {told("NEW")}'
    said = await shell.run(command, env=env, ansi=True)
    assert said.content == f"{VALUES[name]}|3|{VALUES[name]}\n"
    assert await shell.output('echo "$A|$B|${NEW-unset}"') == "1|2|unset\n"


async def test_they_hold_for_all_of_a_command(shell: Shell) -> None:
    command = "echo $A; f() { echo $A; }; f; (echo $A); sh -c 'echo $A'; echo $A | cat"
    assert await shell.output(command, env={"A": "a b"}) == "a b\n" * 5
    await shell.output("set -o posix; true", env={"A": "1"})
    assert await shell.output("echo ${A-unset}; f") == "unset\n\n"


async def test_a_name_no_shell_can_set(shell: Shell) -> None:
    with pytest.raises(InvalidCommand, match="variable name"):
        await shell.run("true", env={"a-b": "1"})
    seen = await shell.runtime.exec(["env"], env={"a-b": "1"})
    assert b"\na-b=1\n" in b"\n" + seen.stdout


async def test_the_directory_of_one_command(shell: Shell) -> None:
    home = (await shell.output('cd "$(mktemp -d)"; mkdir -- -dash "sp ace"; pwd')).strip()
    assert await shell.output("pwd; cd /; pwd", cwd="/bin") == "/bin\n/\n"
    assert await shell.output("pwd", cwd="-dash") == f"{home}/-dash\n"
    assert await shell.output("pwd", cwd="sp ace", env={"CDPATH": "/"}) == f"{home}/sp ace\n"
    assert await shell.output("pwd") == f"{home}\n"
    for none in ("/nosuch", "nosuch", "/proc/self/status", "sp ace/../nosuch"):
        with pytest.raises(WorkingDirectoryMissing, match="cannot be entered"):
            await shell.run("touch was-run", cwd=none)
    assert await shell.output("pwd; ls was-run 2>/dev/null || echo not run") == f"{home}\nnot run\n"


# --- for a whole sandbox -------------------------------------------------------------------------


@pytest.mark.parametrize("name", VALUES)
async def test_set_env_is_exact(shell: Shell, name: str) -> None:
    variable, value = new_name(), VALUES[name]
    await shell.output("true")
    await shell.runtime.set_env({variable: value})
    seen = await shell.run(f'printf %s "${variable}"', ansi=True)
    assert seen.content == value
    assert await shown(shell, variable) == value
    fresh = another(shell)
    assert (await fresh.run(f'printf %s "${variable}"', ansi=True)).content == value
    assert await executed(shell.runtime, variable) == value
    await shell.runtime.set_env({variable: None})
    assert await shell.output(f"echo ${{{variable}-unset}}") == "unset\n"
    assert await executed(shell.runtime, variable) == "unset"
    await fresh.reset()


async def test_a_session_has_them_from_its_next_command_on(shell: Shell) -> None:
    a, b = new_name(), new_name()
    seen = await shell.run(f'read -s; echo "[${a}]"')
    assert seen.status == "waiting_for_input"
    await shell.runtime.set_env({a: "1", b: "2"})
    assert (await shell.type("\n", timeout_s=60)).content == "[]\n"
    await shell.runtime.set_env({b: "3"})
    assert await shell.output(f"(exit 4); echo $? ${a} ${b}") == "4 1 3\n"
    await shell.run(f"export {a}=mine; (exit 4)")
    assert await shell.output(f'echo "$? $_ ${a} ${b}"') == f"4 {a}=mine mine 3\n"


async def test_they_survive_a_reset_and_a_shell_that_ends(shell: Shell) -> None:
    a, b, c = new_name(), new_name(), new_name()
    await shell.output("true")
    await shell.runtime.set_env({a: "a $b"})
    await shell.reset()
    assert await shell.output(f'echo "${a}"') == "a $b\n"
    await shell.runtime.set_env({b: "2", a: None})
    assert (await shell.run("exit 3")).status == "session_ended"
    assert await shell.output(f'echo "${{{a}-unset}} ${b}"') == "unset 2\n"
    await shell.runtime.set_env({c: "3"})
    await shell.reset()
    assert await shell.output(f'echo "${b} ${c}"') == "2 3\n"


async def test_whatever_the_shell_is_set_to(shell: Shell) -> None:
    """Strict mode, traces, traps, keyword mode, functions in the way: the value is set, unseen."""
    a = new_name()
    for mode in ("set -eu", "set -x", "set -k", "set -o posix", "trap 'echo D' DEBUG", "IFS=0"):
        await shell.output(f"export() {{ :; }}; printf() {{ :; }}; {mode}")
        await shell.runtime.set_env({a: mode})
        seen = await shell.run(f'/bin/sh -c "echo \\"=\\${a}\\""')
        assert (seen.status, f"={mode}\n" in seen.content) == ("completed", True), seen
        assert "tether" not in seen.content
        await shell.reset()


async def test_prompts_stay_without_effect(shell: Shell) -> None:
    await shell.output("true")
    prompts = {"PROMPT_COMMAND": "echo P", "PS0": "$(echo 0)", "PS1": "$(echo 1 >&2)", "PS2": "2"}
    try:
        await shell.runtime.set_env(prompts)
        for session in (shell, another(shell)):
            assert await session.output("echo a") == "a\n"
            assert await session.output("echo b") == "b\n"
    finally:
        await shell.runtime.set_env(dict.fromkeys(prompts))


async def test_a_read_only_variable_stays(shell: Shell) -> None:
    a, b = new_name(), new_name()
    await shell.output(f"readonly {a}=1; export {a}; set -e")
    await shell.runtime.set_env({a: "2", b: "3"})
    assert await shell.output(f"echo ${a} ${b}") == "1 3\n"
    await shell.runtime.set_env({a: None, b: None})
    assert await shell.output(f"echo ${a} ${{{b}-unset}}") == "1 unset\n"


async def test_actions_that_follow_find_them_set(shell: Shell) -> None:
    """Submitted one after the other, without waiting: they may find what was set later."""
    a = new_name()
    await shell.output("true")
    results = await asyncio.gather(
        *(
            action
            for number in range(20)
            for action in (
                shell.runtime.set_env({a: str(number)}),
                another(shell).output(f"echo ${a}"),
            )
        )
    )
    assert all(int(said) >= number for number, said in enumerate(results[1::2]))


async def test_what_could_not_be_given_to_a_program(shell: Shell) -> None:
    a = new_name()
    for env in ({"a-b": "1"}, {"": "1"}, {"1a": "1"}, {"a=b": "1"}, {a: "\0"}):
        with pytest.raises(InvalidAction, match="no variable name"):
            await shell.runtime.set_env({**env, a: env.get(a, "1")})
    with pytest.raises(InvalidAction, match="is the most"):
        await shell.runtime.set_env({a: "x" * 131_072})
    with pytest.raises(InvalidAction, match="the environment would take"):
        await shell.runtime.set_env({f"{a}_{n}": "x" * 100_000 for n in range(30)})
    assert await shell.output(f"echo ${{{a}-unset}}; env | grep -c {a}; true") == "unset\n0\n"


async def test_500_variables_of_a_kilobyte(shell: Shell) -> None:
    a = new_name()
    values = {f"{a}_{n}": f"{n} $x \"'\n" + "x" * 1000 for n in range(500)}
    await shell.output("true")
    try:
        await shell.runtime.set_env(values)
        check = f'printf %s "${a}_499"; env | grep -c ^{a}'
        for session in (shell, another(shell)):
            assert (await session.run(check)).content == values[f"{a}_499"] + "500\n"
            assert await session.output("echo next") == "next\n"
        assert (await shell.runtime.exec(check)).stdout.decode() == values[f"{a}_499"] + "500\n"
        assert (await shell.run("exit 1")).status == "session_ended"
        assert (await shell.run(check)).content == values[f"{a}_499"] + "500\n"
    finally:
        await shell.runtime.set_env(dict.fromkeys(values))
    assert await shell.output(f"env | grep -c ^{a}; true") == "0\n"
    one = {name.lower(): value for name, value in values.items()}
    assert (await shell.run(f"env | grep -c ^{a.lower()}", env=one)).content == "500\n"


# --- a sandbox of the test's own -----------------------------------------------------------------


@asynccontextmanager
async def own(shell: Shell, tmp_path: Path, **options: object) -> AsyncIterator[Shell]:
    """A session in a fresh sandbox of the same kind, whose HOME is an empty folder."""
    image = shell.runtime._spec.image
    env = {"HOME": str(tmp_path / "home"), **dict(options.pop("env", {}))}  # type: ignore[call-overload]
    backend = "docker" if image else "local"
    async with EventStreamRuntime(image, backend=backend, env=env, **options) as runtime:  # type: ignore[arg-type]
        yield Shell(runtime, shell.place, "s")


async def write(shell: Shell, path: Path, content: str) -> None:
    await shell.runtime.run(FileWriteAction(path=str(path), content=content))


async def warnings(shell: Shell, session: str) -> list[str]:
    """What was odd in a session."""
    return [
        event.message
        for event in shell.runtime.events.since(0)
        if isinstance(event, SessionWarning) and event.session == session
    ]


async def test_they_survive_the_client_and_are_there_for_who_attaches(
    shell: Shell, tmp_path: Path
) -> None:
    value = VALUES["quotes"] + VALUES["dollars"] + VALUES["newlines"]
    async with own(shell, tmp_path, env={"A": "image's"}, keep=True) as mine:
        await mine.runtime.set_env({"A": value, "PAGER": None})
        await mine.output("true")
    async with EventStreamRuntime.attach(mine.runtime.name) as runtime:
        mine = replace(mine, runtime=runtime)
        assert (await mine.run('printf %s "$A"; echo ${PAGER-unset}')).content == f"{value}unset\n"
        with pytest.raises(ActionLost):
            await runtime.exec("kill -9 $PPID; sleep 60")
        assert (await mine.run('printf %s "$A"; echo ${PAGER-unset}')).content == f"{value}unset\n"
        assert await executed(runtime, "A") == value
        await runtime.close(keep=False)


async def test_defaults_of_pagers_and_editors(shell: Shell, tmp_path: Path) -> None:
    """They give way to the runtime's own variables, to set_env, and to what a shell reads."""
    fresh = another(shell)
    for name, value in DEFAULT_ENVIRONMENT.items():
        assert await shown(fresh, name) == value
        assert await executed(fresh.runtime, name) == value
    command = f"echo $EDITOR; {told('EDITOR')}"
    assert await shell.output(command, env={"EDITOR": "ed"}) == "ed\ned\n"
    async with own(shell, tmp_path, env={"PAGER": "more", "GIT_EDITOR": "nano"}) as mine:
        await write(mine, tmp_path / "home" / ".bashrc", "export EDITOR=emacs\n")
        assert await mine.output("echo $PAGER $GIT_EDITOR $EDITOR") == "more nano emacs\n"
        await mine.runtime.set_env({"PAGER": "less", "EDITOR": "vi"})
        assert await mine.output("echo $PAGER $GIT_EDITOR $EDITOR") == "less nano vi\n"


async def test_no_pager_and_no_editor_waits(shell: Shell) -> None:
    text = "cd $(mktemp -d); seq 100 >f"
    asks = 'for name in PAGER MANPAGER EDITOR VISUAL; do "${!name}" f; done'
    assert (await shell.output(f"{text}; {asks}")).endswith("\n99\n100\n")
    assert await shell.output("seq 500 | $PAGER | tail -n 1; cat f | tail -n 1") == "500\n100\n"


GIT = """\
cd $(mktemp -d); git init -q; git config user.name a; git config user.email a@b.c
for i in {1..30}; do git commit -q --allow-empty -m "number $i"; done
git log; git show; git branch -a; git commit --amend --allow-empty
git rebase -q -i --keep-empty HEAD~3; git merge --no-ff --edit HEAD~1
git tag -a v1 -m one; git tag -l
"""


@pytest.mark.parametrize("runtime", [pytest.param("tools", marks=ENGINE)], indirect=True)
async def test_git_asks_nobody(shell: Shell) -> None:
    """On a terminal, with more to tell than fits on it."""
    seen = await shell.output(GIT)
    assert seen.count("    number ") >= 31
    assert seen.endswith("v1\n")


RC = """\
case $- in *i*) ;; *) return ;; esac
[ -z "$PS1" ] && return
export FROM_RC=yes
alias hi='echo hello'
cd /bin
"""


async def test_a_bashrc_or_the_login_profile(shell: Shell, tmp_path: Path) -> None:
    async with own(shell, tmp_path) as mine:
        await write(mine, tmp_path / "home" / ".bashrc", RC)
        await write(mine, tmp_path / "home" / ".bash_profile", "export FROM_PROFILE=yes\n")
        command = "echo $FROM_RC-$FROM_PROFILE $PWD; hi"
        assert await mine.output(command) == "yes- /bin\nhello\n"
        await mine.output("cd /; unset FROM_RC; export MINE=1")
        assert (await mine.run("exit 1")).status == "session_ended"
        assert await mine.output('echo "$FROM_RC-$MINE $PWD"; hi') == "-1 /\nhello\n"
        assert await warnings(mine, "s") == []
    async with own(shell, tmp_path, login=True) as mine:
        await write(mine, tmp_path / "home" / ".bashrc", RC)
        await write(mine, tmp_path / "home" / ".bash_profile", "export FROM_PROFILE=yes\n")
        await write(mine, tmp_path / "home" / ".profile", "export FROM_PROFILE=other\n")
        assert (await mine.run(command)).content.startswith("-yes ")
        for number, (profile, told) in enumerate((("exit 3", 1), ("nosuchcommand; false", 0))):
            await write(mine, tmp_path / "home" / ".bash_profile", profile + "\n")
            first = replace(mine, session=f"t{number}")
            assert await first.output("/bin/echo fine") == "fine\n"
            assert len(await warnings(mine, first.session)) == told


async def test_what_is_new_in_startup_files_reaches_the_next_shell(
    shell: Shell, tmp_path: Path
) -> None:
    """Installers add a line to `.bashrc` and say to begin a new shell."""
    async with own(shell, tmp_path) as mine:
        await write(mine, tmp_path / "home" / ".bashrc", "export OLD=rc\n")
        await mine.output("export OLD=mine")
        await write(mine, tmp_path / "home" / ".bashrc", "export OLD=rc NEW=rc\n")
        assert (await mine.run("exit 1")).status == "session_ended"
        assert await mine.output('echo "$OLD-$NEW"') == "mine-rc\n"
        await mine.output("unset OLD NEW")
        assert (await mine.run("exit 1")).status == "session_ended"
        assert await mine.output('echo "$OLD-$NEW"; export NEW=mine') == "-\n"
        await mine.reset()
        assert await mine.output('echo "$OLD-$NEW"') == "-mine\n"


BAD_RC = {
    "exits": ("exit 3", "ended the shell"),
    "executes something": ("exec true", "ended the shell"),
    "kills the shell": ("kill -9 $$", "ended the shell"),
    "asks": ("read answer", "asked for input"),
    "sleeps": ("sleep 120", "took too long"),
    "fails": ("false; nosuchcommand; cat /nosuch", None),
    "has a syntax error": ("if then", None),
    "is strict": ("set -eu", None),
    "traces": ("set -xv", None),
    "prints": ("echo hello; echo there >&2", None),
    "sets traps": ("trap 'echo D' DEBUG; trap 'echo E' ERR", None),
    "sets prompts": ("PS1='$(date)>'; PROMPT_COMMAND='echo P'; PS0='x'", None),
    "changes the terminal": ("stty -echo raw", None),
    "leaves a job": ("sleep 120 &", None),
    "redirects": ("exec >/dev/null 2>&1 </dev/null", None),
    "is interrupted": ("kill -INT $$", None),
}


async def test_startup_files_do_not_spoil_the_first_command(shell: Shell, tmp_path: Path) -> None:
    """Each in a session of its own, side by side: the slowest takes its ten seconds."""
    async with own(shell, tmp_path) as mine:
        await write(mine, tmp_path / "home" / ".bashrc", ". ~/rc-$CASE\n")
        for number, (text, _) in enumerate(BAD_RC.values()):
            await write(mine, tmp_path / "home" / f"rc-{number}", text + "\n")
        began = time.monotonic()
        firsts = []
        for number in range(len(BAD_RC)):
            await mine.runtime.set_env({"CASE": str(number)})
            action = CmdRunAction(command="/bin/echo fine; (exit 7)", session=f"s{number}")
            firsts.append(asyncio.create_task(mine.runtime.run(action)))
            await asyncio.sleep(0)
            await mine.runtime.exec(["true"])  # by then the session has begun
        seen = dict(zip(BAD_RC, await asyncio.gather(*firsts), strict=True))
        assert time.monotonic() - began < 40
        for number, (name, (_, complaint)) in enumerate(BAD_RC.items()):
            told = await warnings(mine, f"s{number}")
            assert seen[name].status in ("completed", "session_ended"), (name, seen[name])
            if name not in ("redirects",):
                assert "fine\n" in seen[name].content, (name, seen[name])
            assert seen[name].exit_code == 7, (name, seen[name])
            assert "hello" not in seen[name].content
            assert len(told) == (complaint is not None), (name, told)
            assert complaint is None or complaint in told[0]


async def test_set_env_without_asyncio() -> None:
    def use() -> tuple[str, bytes]:
        with SyncEventStreamRuntime(backend="local") as runtime:
            runtime.set_env({"A": 'a "$b"'})
            seen = runtime.run(CmdRunAction(command='echo "$A"'))
            runtime.run(SetEnvAction(env={"A": None}), id="once")
            runtime.set_env({"A": "2"})
            runtime.run(SetEnvAction(env={"A": None}), id="once")  # it is not run again
            return seen.content, runtime.exec(told("A")).stdout

    assert await asyncio.to_thread(use) == ('a "$b"\n', b"2\n")
