"""Boundaries: nothing a command does forges, delays or steals the end of a command."""

from __future__ import annotations

import asyncio
import textwrap
import time

import pytest

from tether_server import SessionWarning

from ..places import ENGINE
from .conftest import Shell
from .sessions import sessions

# The shell of the next command is the same one, and nothing of these shows there.
PROMPTS = {
    "PS1": "PS1='# '; PS2='more> '",
    "PS1 that runs and reads": "PS1='$(cat; echo forged)$ '",
    "PS0": "PS0='$(cat; echo zero) '",
    "PROMPT_COMMAND": "PROMPT_COMMAND='echo prompt; (exit 7)'",
    "PROMPT_COMMAND that reads": "PROMPT_COMMAND='cat>/dev/null'",
    "PROMPT_COMMAND array": "PROMPT_COMMAND=('cat>/dev/null' 'exit 3')",
    "PROMPT_COMMAND that reads lines": "PROMPT_COMMAND='read -r line; mapfile -n 3'",
    "PS4 and a trace": "PS4='$(cat </dev/null)'; { set -x; } 2>/dev/null; { set +x; } 2>/dev/null",
    "prompt options": "shopt -u promptvars; PROMPT_DIRTRIM=1",
}
BUILTINS = "printf eval builtin command read exec trap unset set declare return source cd"
NAMES = {
    "functions named as builtins": (
        f'for n in {BUILTINS}; do \\builtin eval "$n() {{ echo no; return 9; }}"; done'
    ),
    "read-only functions named as builtins": (
        "for n in printf eval command read exec trap unset set declare return; do "
        '\\builtin eval "$n() { echo no; }; readonly -f $n"; done'
    ),
    "aliases named as builtins": f"for n in {BUILTINS}; do alias $n='echo hijacked'; done",
    "aliases named as keywords": (
        "for n in ! if then else fi case esac for do done while until in time function coproc; "
        "do alias $n='exit 9'; done"
    ),
    "an alias for nothing": "alias eval= printf= builtin= command= read= exec=",
    "functions named like ours": "__tether() { echo hijacked; return 9; }; __tether_mode() { :; }",
    "variables named like ours": "readonly __tether=1 __tether_mode=2 nonce=3 status=4",
    "unset of every function": "f() { :; }; unset -f $(compgen -A function) eval printf read",
    "unset of every variable": (
        'for v in $(compgen -v); do case $v in PATH|HOME) ;; *) unset -v "$v";; esac; '
        "done 2>/dev/null; true"
    ),
    "read-only variables": "readonly PS1='x$ ' PS2 PS0='q ' TMOUT=1 PWD OLDPWD IFS=:",
    "a command_not_found handler": "command_not_found_handle() { echo $1; exit 4; }; nosuch",
    "a keyword option": "set -k",
}
OPTIONS = {
    "IFS": "IFS=17",
    "IFS that splits everything": "IFS=0123456789/abcdef",
    "no glob, no clobber": "set -fC",
    "no expansion of braces or aliases": "set +B; shopt -u expand_aliases interactive_comments",
    "all shell options": (
        "shopt -s $(shopt | while read -r n _; do case $n in extdebug|restricted_shell|login_shell)"
        " ;; *) echo $n;; esac; done) 2>/dev/null"
    ),
    "no shell option": (
        "shopt -u $(shopt | while read -r n _; do case $n in restricted_shell|login_shell)"
        " ;; *) echo $n;; esac; done) 2>/dev/null"
    ),
    "POSIX mode": "set -o posix",
    "POSIXLY_CORRECT": "export POSIXLY_CORRECT=1",
    "no execution": "set -n",
    "job control off": "set +m",
    "notices at once": "set -b; sleep 0.01 & wait",
    "unset variables are errors": "set -u",
    "a file for every shell": "echo exit 9 > rc; export BASH_ENV=$PWD/rc ENV=$PWD/rc; set -a",
    "a strange language": "LC_ALL=C; LC_NUMERIC=xx LANG=yy",
}
TRAPS = {
    "traps for every signal": (
        "for s in {1..64} DEBUG ERR EXIT RETURN; do trap ': $s' $s; done 2>/dev/null"
    ),
    "every signal ignored": "for s in {1..64}; do trap '' $s; done 2>/dev/null; true",
    "a child trap": "trap 'x=1' CHLD; /bin/true",
    "an inherited RETURN trap": "set -T; trap ':' RETURN; f() { return 3; }; f; true",
    "an ERR trap": "set -E; trap 'x=1' ERR; false; true",
    "a DEBUG trap that fails": "trap false DEBUG; true",
}
DESCRIPTORS = {
    "closing 3 to 255": 'for n in {3..255}; do eval "exec $n>&-"; done 2>/dev/null; true',
    "writing to 3 to 255": (
        "for n in {3..255}; do printf '0123456789abcdef 0 0 x ' >&$n; done 2>/dev/null; true"
    ),
    "reading from 3 to 255": (
        "for n in {3..255}; do read -t 0.001 -u $n x; done 2>/dev/null; (cat <&10) 2>/dev/null; :"
    ),
    "opening 3 to 255": 'for n in {3..255}; do eval "exec $n<>/dev/null"; done; true',
    "writing through /proc": (
        "for f in /proc/$$/fd/*; do case $f in */[012]) ;; *) [ -f $f -o -p $f -o -S $f ] && "
        "printf '0 0 x' >$f;; esac; done 2>/dev/null; true"
    ),
    "reading through /proc": (
        "for f in /proc/$$/fd/*; do [ -S $f ] && timeout 1 cat $f; done 2>/dev/null; true"
    ),
    "closing from a child": (
        '(for n in {3..1100}; do eval "exec $n>&-"; done; exec 3</dev/null) 2>/dev/null; true'
    ),
    "a limit below all of them": "ulimit -n 32",
    "a limit of files' lengths": "ulimit -f 0",
    "a coprocess": "coproc cat; echo x >&${COPROC[1]}; read -r x <&${COPROC[0]}; test $x = x",
    "process substitutions": "cat <(echo a) <(echo b) > >(cat >/dev/null)",
}
TERMINAL = {
    "stty -echo": "stty -echo",
    "stty raw": "stty raw",
    "stty without signals": "stty -isig -icanon intr undef min 0 time 1",
    "stty 0": "stty 0 2>/dev/null; true",
    "stty onlcr": "stty opost onlcr",
    "stty columns": "stty rows 1 cols 1",
    "stty tostop": "stty tostop",
    "clear and reset": r"printf '\033[2J\033c\033[?1049h\033[?25l\0\016'; clear; reset; true",
    "a scroll region and questions": r"printf '\033[5;6r\033[6n\033[c\033]0;t\007'",
    "everything there is to print": "cat /bin/busybox || cat /bin/true",
}
SIGNALS = {
    "kill 0": "kill 0",
    "kill -STOP": "kill -STOP $$",
    "suspend": "suspend",
    "signals that shells ignore": "kill -QUIT $$; kill -TSTP $$; kill -TERM $$; kill -WINCH $$",
    "stops from behind": "(for i in 1 2 3 4 5; do kill -STOP $$; sleep 0.02; done) & wait",
    "a greedy background job": "(sleep 0.1; cat) & disown",
    "a background job that reads on": "(while read -r x; do :; done) & disown",
    "exec of nothing": "exec /nosuch",
    "break and return": "break 5; continue; return 3; true",
    "a strange place": "mkdir -p $'x\\ny/a \"b' && cd $'x\\ny/a \"b'",
}
HARMLESS = {
    "prompts": PROMPTS,
    "names": NAMES,
    "options": OPTIONS,
    "traps": TRAPS,
    "descriptors": DESCRIPTORS,
    "terminal": TERMINAL,
    "signals": SIGNALS,
}
FRESH = 'mkdir -p "/tmp/tether b/$$" && cd "/tmp/tether b/$$" && echo $$'


@pytest.mark.parametrize("attacks", HARMLESS.values(), ids=HARMLESS.keys())
async def test_the_shell_goes_on_as_before(shell: Shell, attacks: dict[str, str]) -> None:
    """Each in a session of its own, side by side."""
    async with sessions(shell, attacks) as own:
        await asyncio.gather(*(goes_on(own[name], text) for name, text in attacks.items()))


async def goes_on(shell: Shell, attack: str) -> None:
    pid = await shell.output(FRESH)
    done = await shell.run(attack)
    assert (done.status, done.state_lost) == ("completed", None), (attack, done)
    seen = await shell.run("/bin/echo fine; (exit 5)")
    assert (seen.content, seen.exit_code, seen.status) == ("fine\n", 5, "completed"), attack
    seen = await shell.run('[ -t 0 ] && [ -t 1 ] && /bin/echo "$$"')
    assert (seen.content, seen.state_lost) == (pid, None), attack


@pytest.mark.parametrize("change", ["stty sane", "stty raw -echo"])
async def test_a_killed_program_brings_no_earlier_mode_back(shell: Shell, change: str) -> None:
    """bash gives the terminal back the mode that it took note of last."""
    before = await shell.output("stty -a; trap - USR1")
    await shell.output(change)
    seen = await shell.output("sh -c 'kill -9 $$'; echo; stty -a")
    assert seen.endswith("\n" + before)


async def test_a_false_debug_trap_with_extdebug(shell: Shell) -> None:
    """It keeps commands from being run, ours too: so the shell is of no use any more."""
    await shell.run("cd /tmp")
    began = time.monotonic()
    broken = await shell.run("shopt -s extdebug; trap false DEBUG")
    assert broken.status == "session_ended"
    assert broken.state_lost is not None
    assert await shell.output("pwd") == "/tmp\n"
    assert time.monotonic() - began < 5


async def test_the_users_descriptors_are_the_users(shell: Shell) -> None:
    await shell.output(FRESH)
    await shell.output("exec 9>nine 8>eight 7<>seven 200>&9")
    await shell.output("echo a >&8; echo b >&7; echo c >&200")
    assert await shell.output("cat eight seven nine; exec 9>&- 200>&-; true >&8") == "a\nb\nc\n"
    assert (await shell.run("true >&9")).exit_code == 1
    if shell.place != "busybox":  # which has no flock
        await shell.output("exec 9>lock; flock -n 9")
        assert (await shell.run("flock -n lock true")).exit_code == 1
        assert await shell.output("exec 9>&-; flock -n lock echo free") == "free\n"


FORGERIES = {
    "printed": r"printf '%s 0 0 himBs %s/%s%s\n' a a a a",
    "a page of statuses": 'for i in {1..2000}; do echo "$RANDOM$i 0 0 himBs /"; done >&2',
    "to every descriptor": "for n in {3..1100}; do echo '0 0 x / 0' >&$n; done 2>/dev/null",
    "by a DEBUG trap that sees our lines": (
        "trap 'case $BASH_COMMAND in *tether*) "
        'echo "${BASH_COMMAND//[^0-9a-f]/} 0 9999999999 h " >&1002;; esac\' DEBUG'
    ),
    "a megabyte": "head -c 1000000 /dev/zero >&1002",
    "unfinished traps": "for i in {1..8000}; do printf 'trap -- '; done >&1002",
}


@pytest.mark.parametrize("attack", FORGERIES.values(), ids=FORGERIES.keys())
async def test_a_forged_status_is_not_believed(shell: Shell, attack: str) -> None:
    pid = await shell.output("echo $$")
    began = time.monotonic()
    seen = await shell.run(f"{attack}\n(exit 6)")
    assert (seen.exit_code, seen.status) == (6, "completed")
    assert time.monotonic() - began < 5  # the traps alone took eight seconds
    assert await shell.output("echo $$") == pid


async def test_what_is_forged_is_told(shell: Shell) -> None:
    seq = shell.runtime.events.last_seq
    await shell.output("printf '0123456789abcdef 0 0 himBs /' >&1002")
    await shell.output("true")
    told = [
        event
        for event in shell.runtime.events.since(seq)
        if isinstance(event, SessionWarning) and event.session == shell.session
    ]
    assert len(told) == 1
    assert "status channel" in told[0].message


async def test_a_stolen_line_is_noticed_and_never_run_twice(shell: Shell) -> None:
    """A background job that reads the shell's own input gets what was meant for the shell."""
    await shell.output(FRESH)
    await shell.run("(cat <&1006 >stolen) & disown; sleep 0.1")
    began = time.monotonic()
    for number in range(8):
        seen = await shell.run(f"echo {number} >> ran")
        assert seen.status in ("completed", "session_ended")
        if seen.status == "session_ended":
            break
    assert time.monotonic() - began < 5
    looked = await shell.run("cat ran 2>/dev/null || true")
    if looked.status == "session_ended":  # stolen, too; the thief ends with the shell
        looked = await shell.run("cat ran 2>/dev/null || true")
    ran = looked.content.split()
    assert (looked.status, ran) == ("completed", sorted(set(ran)))


async def test_a_waiting_reader_of_our_channel_is_stopped_by_an_interrupt(shell: Shell) -> None:
    seen = await shell.run("cat <&1006", timeout_s=0.3)
    assert seen.status == "timeout"
    assert (await shell.interrupt()).status == "interrupted"
    assert await shell.output("echo next") == "next\n"


async def test_an_idle_limit_does_not_end_the_shell(shell: Shell) -> None:
    pid = await shell.output("TMOUT=1; echo $$")
    await shell.runtime.exec(["sleep", "1.6"])
    assert await shell.output("echo $$; test $TMOUT = 1") == pid
    await shell.output("TMOUT=" + "9" * 5000)
    assert await shell.output("echo $$") == pid


async def test_a_prompt_command_that_cannot_be_unset(shell: Shell) -> None:
    """It runs between commands, which bash offers no way to prevent; a slow one is waited for."""
    pid = await shell.output("readonly PROMPT_COMMAND='sleep 0.01'; echo $$")
    assert await shell.output("echo $$") == pid


NEIGHBOURS = pytest.mark.parametrize(
    "runtime", ["local", pytest.param("tools", marks=ENGINE)], indirect=True
)
"""Where there is Python for hostile programs."""

PROGRAMS = {
    "copies the shell's descriptors": """
        libc, parent = ctypes.CDLL(None), os.pidfd_open(os.getppid())
        for number in range(3, 1100):
            copy = libc.syscall(438, parent, number, 0)
            if copy >= 0:
                os.set_blocking(copy, False)
                with contextlib.suppress(OSError):
                    os.write(copy, b"\\0 0 0 x \\n")
        """,
    "opens the shell's descriptors": """
        for name in os.listdir(f"/proc/{os.getppid()}/fd"):
            with contextlib.suppress(OSError):
                file = os.open(f"/proc/{os.getppid()}/fd/{name}", os.O_RDWR | os.O_NONBLOCK)
                os.write(file, b"declare -x A=1")
        """,
    "stops the terminal": "termios.tcflow(0, termios.TCOOFF)",
    "leaves the terminal non-blocking": "os.set_blocking(0, False)",
    "takes the foreground": """
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            time.sleep(0.5)
        else:
            time.sleep(0.05)
            os.tcsetpgrp(0, child)
        """,
    "asks for the terminal alone": "fcntl.ioctl(0, termios.TIOCEXCL)",
    "gives the terminal up": "fcntl.ioctl(os.open('/dev/tty', os.O_RDWR), termios.TIOCNOTTY)",
    "traces the shell": """
        libc = ctypes.CDLL(None)
        libc.ptrace(16, os.getppid(), 0, 0)
        time.sleep(0.1)
        """,
    "drains and fills the mailboxes": """
        for name in os.listdir(f"/proc/{os.getppid()}/fd"):
            path = f"/proc/{os.getppid()}/fd/{name}"
            with contextlib.suppress(OSError):
                if "memfd" in os.readlink(path):
                    os.truncate(path, 1 << 40)
        """,
}


@NEIGHBOURS
async def test_hostile_programs_beside_the_shell(shell: Shell) -> None:
    async with sessions(shell, PROGRAMS) as own:
        await asyncio.gather(*(survives(own[name], text) for name, text in PROGRAMS.items()))


async def survives(shell: Shell, program: str) -> None:
    modules = "contextlib, ctypes, fcntl, os, signal, termios, time"
    text = f"import {modules}\n{textwrap.dedent(program)}"
    pid = await shell.output("cd /tmp; echo $$")
    done = await shell.run(f"python3 - <<'PROGRAM' >/dev/null 2>&1\n{text}\nPROGRAM\n(exit 6)")
    assert (done.status, done.exit_code) == ("completed", 6), (program, done)
    waits = await shell.run("echo seen; cat; (exit 7)")
    assert (waits.status, waits.content) == ("waiting_for_input", "seen\n"), program
    assert (await shell.type(key="C-d")).exit_code == 7
    assert await shell.output("echo $$") == pid
    await shell.run("exit 3")
    assert await shell.output("pwd") == "/tmp\n"


RELAYS = {
    "su": ("su root -c 'read -r code; exit $code'", 5),
    "script": ("script -qec 'read -r code; exit $code' /dev/null", 5),
    "tmux": ("tmux -L $$ new-session 'read -r code; echo $code >code'; cat code; exit_5", 127),
    "a shell in a shell": ('"$BASH" --norc -c "read -r code; exit \\$code"', 5),
}


HAVE = {"local": {"script", "a shell in a shell"}, "busybox": {"su", "a shell in a shell"}}


@pytest.mark.parametrize(
    "runtime",
    ["local", *(pytest.param(place, marks=ENGINE) for place in ("tools", "busybox"))],
    indirect=True,
)
async def test_programs_that_take_the_terminal_over(shell: Shell) -> None:
    """They read it, change it and leave it; then it is the shell's again."""
    names = HAVE.get(shell.place, set(RELAYS))
    async with sessions(shell, names) as own:
        await asyncio.gather(*(takes_over(own[name], *RELAYS[name]) for name in names))


async def takes_over(shell: Shell, command: str, code: int) -> None:
    pid = await shell.output(FRESH)
    assert (await shell.run(command)).status == "waiting_for_input", command
    ended = await shell.type("5\r" if "tmux" in command else "5\n")
    while ended.exit_code is None:
        ended = await shell.poll()
    assert (ended.status, ended.exit_code) == ("completed", code), (command, ended)
    assert await shell.output("echo $$; [ -t 0 ] && stty -a | grep -q ' icanon'") == pid
