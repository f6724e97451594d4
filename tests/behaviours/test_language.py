"""Language: whatever is shell language works as it does in an ordinary interactive bash."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import pytest_asyncio

from tether_server import EventStreamRuntime, FileWriteAction, SessionEnded, SessionWarning

from .conftest import Shell

WORKS = {
    "several lines": ("echo a\necho b\n\n\necho c", "a\nb\nc\n"),
    "line ends of DOS in a string": ("printf %s 'a\r\nb'", "a\r\nb"),
    "comments": ("# first\necho a # b\n\n# last", "a\n"),
    "only a comment": ("# nothing", ""),
    "nothing": ("", ""),
    "blanks": (" \n\t\n", ""),
    "a continued line": ("echo a \\\n  b", "a b\n"),
    "a backslash at the end": ("echo a\\", "a\\\n"),
    "a here-document": ("cat <<EOF\n$((1 + 1)) `echo x` \"q\" 'r' \\$z\nEOF", "2 x \"q\" 'r' $z\n"),
    "a quoted one": ("cat <<'EOF'\n$x `y` \"q\" 'r' \\\nEOF", "$x `y` \"q\" 'r' \\\n"),
    "an indented one": ("cat <<-EOF\n\ta\n\t\tb\n\tEOF", "a\nb\n"),
    "two in a line": ("cat <<A - <<B\na\nA\nb\nB", "b\n"),
    "one in a substitution": ('echo "$(cat <<EOF\na b\nEOF\n)"', "a b\n"),
    "one without an end": ("cat <<EOF\na", "a\n"),
    "a here-string": ('cat <<< "a\'b"', "a'b\n"),
    "nested loops": (
        "for i in 1 2; do for j in a b; do echo $i$j; done; done",
        "1a\n1b\n2a\n2b\n",
    ),
    "loops that are left": (
        "for i in 1 2; do for j in a b; do [ $j = b ] && continue 2; echo $i$j; done; done",
        "1a\n2a\n",
    ),
    "while read": ("printf '1\\n2\\n' | while read x; do echo \"<$x>\"; done", "<1>\n<2>\n"),
    "until": ("n=0; until (( n == 3 )); do (( n += 1 )); done; echo $n", "3\n"),
    "case": ("case abc in a*) echo yes;; *) echo no;; esac", "yes\n"),
    "select": ("select x in a b; do echo $x; break; done <<< 2 2>/dev/null", "b\n"),
    "a function": ('f() {\n  local x=$1\n  echo "f:$x"\n  return 3\n}\nf 1; echo $?', "f:1\n3\n"),
    "recursion": ("f() { [ $1 -gt 0 ] && f $(($1-1)); echo $1; }; f 2", "0\n1\n2\n"),
    "an array": ("a=(1 '2 3' 4); a+=(5); echo \"${a[1]}\" ${#a[@]}", "2 3 4\n"),
    "an associative array": ("declare -A m=([k]=v); echo ${m[k]}", "v\n"),
    "an alias on a later line": ("alias hi='echo hello'\nhi", "hello\n"),
    "an unexported variable": (
        "x=1; echo $x; env | grep ^x= || echo not exported",
        "1\nnot exported\n",
    ),
    "process substitution": ("cat <(echo a) <(echo b)", "a\nb\n"),
    "a coprocess": (
        "{ coproc cat; } 2>/dev/null; echo hi >&${COPROC[1]}; read x <&${COPROC[0]}; echo $x",
        "hi\n",
    ),
    "arithmetic": ("((x=5*3)); echo $x $((x << 1))", "15 30\n"),
    "braces": ("echo {1..3}{a,b}", "1a 1b 2a 2b 3a 3b\n"),
    "exclamation marks": ("echo a!b '!!' \"!x\"", "a!b !! !x\n"),
    "a subshell": ("(cd /; x=1; pwd); echo ${x-unset}", "/\nunset\n"),
    "pipe status": ("false | true | false; echo ${PIPESTATUS[*]}", "1 0 1\n"),
    "mapfile": ("mapfile -t a < <(printf '1\\n2\\n'); echo ${a[1]}", "2\n"),
    "quotes of every kind": ("echo $'a\\tb\\'c' \"d'e\" 'f\"g' \\h", "a\tb'c d'e f\"g h\n"),
    "unicode": ("echo 'žluťoučký 🐎'", "žluťoučký 🐎\n"),
    "characters": ("(LC_ALL=C.UTF-8; x=žluť; echo ${#x} ${x^^})", "4 ŽLUŤ\n"),
    "the interactive flag": ("[[ $- == *i* ]] && echo yes", "yes\n"),
    "a terminal on 0, 1 and 2": ("test -t 0 && test -t 1 && test -t 2 && echo yes", "yes\n"),
    "eval of eval": ("eval 'eval \"echo \\$((2+3))\"'", "5\n"),
    "a sourced file": ("echo 'echo $1; return 4' > f; . ./f a; echo $?", "a\n4\n"),
}

WARNING = "bash: warning: here-document at line [0-9]+ delimited by end-of-file .*\n"


@pytest_asyncio.fixture(loop_scope="session")
async def shell(shell: Shell) -> Shell:
    """In a folder of the test's own."""
    await shell.output('cd "$(mktemp -d)"')
    return shell


@pytest_asyncio.fixture(loop_scope="session")
async def lasting(runtime: EventStreamRuntime) -> Shell:
    """One session for all that leave it as it was: a fresh one costs more than they do."""
    lasting = Shell(runtime, "any", "lasting")
    await lasting.output('[ -n "${here-}" ] || here=$(mktemp -d); cd $here; unset x f')
    return lasting


@pytest.mark.parametrize("name", WORKS)
async def test_it_is_bash(lasting: Shell, name: str) -> None:
    command, expected = WORKS[name]
    said = await lasting.output(command)
    warning = WARNING if "without an end" in name else ""
    assert re.fullmatch(warning + re.escape(expected), said)
    assert await lasting.output("echo next") == "next\n"


FAILS = {
    "an open quote": ("echo 'a", 2, "unexpected EOF"),
    "an open double quote": ('echo "a', 2, "unexpected EOF"),
    "an open backquote": ("echo `a", None, "unexpected EOF"),
    "an open parenthesis": ("echo (", 2, "syntax error"),
    "an open substitution": ("echo $(", None, "unexpected EOF"),
    "an open brace": ("{ echo a", 2, "syntax error"),
    "a closing parenthesis": ("echo a; )", 2, "syntax error"),
    "an unfinished for": ("for i in 1; do echo $i", 2, "syntax error"),
    "the head of a for": ("for ((;;))", 2, "syntax error"),
    "the head of a for over words": ("for i", 2, "syntax error"),
    "the head of a function": ("f()", 2, "syntax error"),
    "an unfinished if": ("if true; then", 2, "syntax error"),
    "an unfinished case": ("case x in", 2, "syntax error"),
    "an unfinished pipe": ("echo a |", 2, "syntax error"),
    "an unfinished list": ("echo a && # b\n", 2, "syntax error"),
    "an unfinished expansion": ("echo ${x", 2, "unexpected EOF"),
    "an open condition": ("[[ a", 2, "conditional binary operator expected"),
    "an open array": ("a=(1", None, "matching `)'"),
    "a half-closed condition": ("if [[ -f x ]; then :; fi", 2, "conditional expression"),
    "such a condition in a file": ("echo '[[ a' >f; . ./f; echo on", 0, "expected\non\n"),
    "and lines after it": ("echo '[[ a' >f; . ./f\necho on\n(exit 7)", 7, "expected\non\n"),
    "a lonely done": ("done", 2, "syntax error"),
    "break at the top": ("break", 0, "only meaningful in"),
    "continue at the top": ("continue", 0, "only meaningful in"),
    "return at the top": ("return 5", None, "can only `return'"),
    "local at the top": ("local x", 1, "can only be used in a function"),
    "not found": ("nosuchcommand", 127, "command not found"),
    "not executable": (": > plain; ./plain", 126, "Permission denied"),
    "a directory": ("/", 126, "Is a directory"),
    "an unset variable": ("set -u; echo $nosuch", 1, "unbound variable"),
    "a wanted variable": ("echo ${nosuch?is missing}", None, "is missing"),
    "a bad substitution": ("echo ${a b}", 1, "bad substitution"),
    "division by zero": ("echo $((1/0))", 1, "division by 0"),
    "a read-only variable": ("readonly r=1; r=2", 1, "readonly variable"),
    "a redirection": ("cat < /nosuch", 1, "No such file"),
}


@pytest.mark.parametrize("name", FAILS)
async def test_errors_stay_in_their_command(lasting: Shell, name: str) -> None:
    command, code, message = FAILS[name]
    pid = (await lasting.run("true")).pid
    seen = await lasting.run(command)
    assert message in seen.content
    assert seen.status == "completed"
    assert code is None or seen.exit_code == code
    assert "tether" not in seen.content
    assert await lasting.output("set +u; echo next; declare -F") == "next\n"
    assert (await lasting.run("true")).pid == pid


# --- large texts ---------------------------------------------------------------------------------


async def test_a_here_document_of_300_lines(shell: Shell) -> None:
    line = "$HOME `date` $(date) \"double\" 'single' \\ ${x} $((1"
    body = "".join(f"{number} {line}\n" for number in range(300))
    assert await shell.output(f"cat <<'END'\n{body}END") == body
    assert await shell.output(f"cat > file <<'END'\n{body}END\ncat file") == body


async def test_one_of_100_kb_that_is_expanded(shell: Shell) -> None:
    body = "".join(f"{number} $x `echo y` \\$z \"q\" 'r' $((2 * 3))\n" for number in range(100))
    plain = "".join(f"{number} \"q\" 'r' \\` \\$ \\\\ {'-' * 80}\n" for number in range(1000))
    assert len(plain) > 100_000
    command = f"x=X\ncat <<END\n{body}{plain}END"
    expected = body.replace("$x", "X").replace("`echo y`", "y").replace("$((2 * 3))", "6") + plain
    expected = expected.replace("\\$", "$").replace("\\`", "`").replace("\\\\", "\\")
    assert await shell.output(command) == expected


async def test_one_of_100_kb_that_is_not(shell: Shell) -> None:
    body = "".join(f"{n} $x `y` \"q\" 'r' \\ $(( ${{ \\\\ EOF\n" for n in range(4000))
    assert len(body) > 100_000
    assert await shell.output(f"cat <<\\EOF\n{body}EOF") == body


async def test_a_line_of_100_000_characters(shell: Shell) -> None:
    assert await shell.output(f"echo {'ž' * 100_000}") == "ž" * 100_000 + "\n"


async def test_every_byte_a_command_can_hold(shell: Shell) -> None:
    everything = "".join(map(chr, range(1, 128))) + "ÿ\u0100\uffff🐎"
    quoted = everything.replace("'", "'\\''")
    assert (await shell.run(f"printf %s '{quoted}'", ansi=True)).content == everything


async def test_two_thousand_lines(shell: Shell) -> None:
    lines = [f"n{number}=$(({number} * 2))" for number in range(2000)]
    assert await shell.output("\n".join([*lines, "echo $n1999"])) == "3998\n"


# --- what a shell carries from one command to the next -------------------------------------------


async def test_state_is_kept(shell: Shell) -> None:
    await shell.output("cd /bin; plain=1; export exported=2; f() { echo f$1; }; a=(1 '2 3')")
    await shell.output("alias g='echo g'; set -f; umask 027; shopt -s extglob; trap 'echo u' USR1")
    command = 'echo $PWD $plain "${a[1]}"; f 3; g; umask; echo *; env | grep ^exp; kill -USR1 $$'
    assert await shell.output(command) == "/bin 1 2 3\nf3\ng\n0027\n*\nexported=2\nu\n"


@pytest.mark.parametrize("code", [0, 1, 77, 126, 127, 130, 255])
async def test_the_status_is_carried(lasting: Shell, code: int) -> None:
    assert (await lasting.run(f"(exit {code})")).exit_code == code
    assert await lasting.output("echo $?") == f"{code}\n"
    await lasting.run(f"(exit {code})")
    assert await lasting.output('echo "$?"', cwd="/", env={"A": "1"}) == f"{code}\n"


@pytest.mark.parametrize("empty", ["", "# nothing", " \n\n  # a\n# b\n"])
async def test_a_command_without_any_leaves_it(lasting: Shell, empty: str) -> None:
    await lasting.run("cat /nosuch")
    assert (await lasting.run(empty)).exit_code == 0
    assert await lasting.output('echo "$? $_"') == "1 /nosuch\n"


LAST_WORDS = {
    "a plain word": ("mkdir -p a/b/c", "a/b/c"),
    "no argument": ("true", "true"),
    "quotes": ("echo 'a  b\nc' >/dev/null", "a  b\nc"),
    "an expansion": ('x="1 2"; echo "$x"', "1 2"),
    "a glob": ("touch g1 g2; ls g*", "g2"),
    "a list": ("echo a; echo b", "b"),
    "a function": ("f() { echo in; }; f x y", "y"),
    "a failure": ("cat /nosuch", "/nosuch"),
    "a here-document": ("cat - <<EOF\nx\nEOF", "-"),
    "several lines and a comment": ("echo a \\\n b\n# echo c", "b"),
    "an assignment": ("x=1", ""),
    "a declaration": ("declare x=1", "x=1"),
    "a word of bytes that are no text": ("echo $'\\377' >/dev/null", "\ufffd"),
    "a word of 5,000 characters": (f"echo {'x' * 5000} >/dev/null", "x" * 5000),
}


@pytest.mark.parametrize("name", LAST_WORDS)
async def test_the_last_word_is_carried(lasting: Shell, name: str) -> None:
    command, expected = LAST_WORDS[name]
    status = (await lasting.run(command)).exit_code
    assert await lasting.output('printf "%s|%s" "$?" "$_"') == f"{status}|{expected}"


async def test_attributes_of_the_last_word(shell: Shell) -> None:
    """bash computes an integer variable, and `_` becomes the last word of all that it runs."""
    await shell.output(": 0")
    assert await shell.output("declare -i _; x='7'") == ""
    assert await shell.output("echo a b") == "a b\n"
    assert await shell.output('echo "$?" $_; : 7') == "0 0\n"
    assert await shell.output("echo $_; cat <<< $?") == "7\n0\n"
    seen = await shell.run("echo 'a b'; echo not reached")
    assert (seen.exit_code, seen.content) == (
        1,
        'a b\nbash: echo: a b: syntax error in expression (error token is "b")\n',
    )


async def test_it_is_carried_where_it_is_hard(shell: Shell) -> None:
    """After a failure, in another folder, with variables, in strict and in POSIX mode."""
    await shell.output("set -u -o posix")
    await shell.run("cat /nosuch")
    assert await shell.output('echo "$? $_"', cwd="/bin", env={"A": "1"}) == "1 /nosuch\n"
    await shell.output("set -e +o posix; echo one >/dev/null")
    assert await shell.output('(( 0 )) || echo "$? $_"') == "1 one\n"
    await shell.output("set -x; true two")
    assert "\n0 two\n" in await shell.output('echo "$? $_"')
    await shell.output("set +ex; : three; trap : DEBUG")
    assert (await shell.run("(exit 5)")).exit_code == 5
    assert await shell.output('echo "$?"') == "5\n"


async def test_line_numbers_count_on(shell: Shell) -> None:
    """As in any interactive bash, they are those of the session."""
    first, second = map(int, (await shell.output("echo $LINENO\n\necho $LINENO")).split())
    assert second == first + 2
    assert int(await shell.output("echo $LINENO")) > second


async def test_history_has_no_lines_of_ours(shell: Shell) -> None:
    assert await shell.output("history") == ""
    await shell.output("set -o history; set -H")
    await shell.output("echo a")
    assert await shell.output("history") == ""
    listed = await shell.output("set -o history\necho 'b c' >/dev/null\nhistory")
    assert [line.split(maxsplit=1)[1] for line in listed.splitlines()] == [
        "echo 'b c' >/dev/null",
        "history",
    ]
    assert "tether" not in await shell.output("history; fc -l -10; true")


async def test_nothing_of_ours_is_in_the_shell(shell: Shell) -> None:
    for listing in ('declare -F; alias; trap -p; compgen -v; echo "$PS1$PS2$PS4"', "declare"):
        await shell.run("(exit 3)")
        assert "__tether" not in await shell.output(listing)
    assert await shell.output("ls /proc/self/fd | xargs") == "0 1 2 3\n"


# --- options, traps and redirections that stay ---------------------------------------------------


async def test_traces_show_the_commands_alone(shell: Shell) -> None:
    assert await shell.output("set -x\necho $((1 + 1))") == "++ echo 2\n2\n"
    assert await shell.output("echo a\nprintf b") == "++ echo a\na\n++ printf b\nb"
    assert "tether" not in (await shell.run("cat /nosuch")).content
    assert await shell.output('echo "$?"') == "++ echo 1\n1\n"
    assert await shell.output("set +x") == "++ set +x\n"
    assert await shell.output("set -v") == ""
    assert await shell.output("echo a\necho $_") == "echo a\na\necho $_\na\n"
    assert await shell.output("set +v") == "set +v\n"
    assert await shell.output("echo c") == "c\n"


@pytest.mark.parametrize(
    "options", ["-u", "-n", "-o posix", "-f", "-k", "-C", "-a", "-b", "-h", "+B", "-m", "+m", "-E"]
)
async def test_options(shell: Shell, options: str) -> None:
    await shell.output(f"set {options}")
    assert await shell.output("echo a") == "a\n"
    assert (await shell.run("/bin/sh -c 'exit 7'")).exit_code == 7
    assert await shell.output('echo "$? $_"') == "7 exit 7\n"


async def test_strict_mode_is_for_what_fails(shell: Shell) -> None:
    """`set -e` ends the shell, as it says, and only when something fails."""
    await shell.output("set -euo pipefail")
    assert await shell.output("false || echo caught; if false; then :; fi; ! true; echo on") == (
        "caught\non\n"
    )
    assert (await shell.run("true && false || true")).exit_code == 0
    assert (await shell.run("false && true")).status == "completed"
    seen = await shell.run("echo x | grep y; echo not reached")
    assert (seen.status, seen.exit_code, seen.content) == ("session_ended", 1, "")
    assert await shell.output("echo fresh") == "fresh\n"


async def test_a_changed_ifs(shell: Shell) -> None:
    await shell.output("IFS=017")
    assert (await shell.run("(exit 107)")).exit_code == 107
    assert await shell.output('echo "$?"; x=a0b; echo $x; unset IFS') == "107\na b\n"


async def test_shopt(shell: Shell) -> None:
    assert await shell.output("shopt -s nullglob; echo nothing*here x") == "x\n"
    assert await shell.output("echo nothing*here x; shopt -u nullglob") == "x\n"
    await shell.output("shopt -s extglob globstar nocasematch dotglob xpg_echo failglob")
    assert await shell.output("[[ ABC == +(a|b|c) ]] && echo 'a\\tb'") == "a\tb\n"
    assert (await shell.run("echo nothing*here")).exit_code == 1
    assert await shell.output("echo on") == "on\n"
    await shell.output("shopt -s expand_aliases extdebug lastpipe; set +m")
    assert await shell.output("echo a | read x; echo $x") == "a\n"


async def test_a_debug_trap_sees_the_commands_alone(shell: Shell) -> None:
    assert await shell.output("trap 'echo \"D $BASH_COMMAND\"' DEBUG") == ""
    assert await shell.output("echo a\necho b") == "D echo a\na\nD echo b\nb\n"
    assert (await shell.run("cat /nosuch 2>/dev/null")).content == "D cat /nosuch 2> /dev/null\n"
    assert await shell.output('echo "$?"') == 'D echo "$?"\n1\n'
    assert await shell.output("trap -p DEBUG") == (
        "D trap -p DEBUG\ntrap -- 'echo \"D $BASH_COMMAND\"' DEBUG\n"
    )
    assert await shell.output("trap - DEBUG") == "D trap - DEBUG\n"
    assert await shell.output("echo c") == "c\n"
    await shell.run("trap 'echo \"$_ $?\"' DEBUG; (exit 4)")
    assert "tether" not in await shell.output("true a b")
    assert await shell.output("true; trap - DEBUG") == "b 0\ntrue 0\n"


async def test_traces_and_traps_with_a_directory_for_one_command(shell: Shell) -> None:
    """They show nothing of how it is gone to."""
    await shell.output("set -x")
    assert await shell.output("echo a", cwd="/bin") == "++ echo a\na\n"
    assert await shell.output("set +x") == "++ set +x\n"
    await shell.output("trap 'echo \"D $BASH_COMMAND\"' DEBUG")
    assert await shell.output("echo b", cwd="/bin") == "D echo b\nb\n"


async def test_what_a_debug_trap_writes_elsewhere(shell: Shell) -> None:
    """It runs for the first of the shell's own lines too: bash has no way around that."""
    await shell.output("trap 'echo \"$BASH_COMMAND\" >> log' DEBUG")
    await shell.output("echo a")
    await shell.output("echo $(( 1 + 1 ))")
    log = await shell.output("trap - DEBUG; cat log")
    seen = [line for line in log.splitlines() if line.startswith(("echo", "trap"))]
    assert seen == ["echo a", "echo $(( 1 + 1 ))", "trap - DEBUG"]
    assert len(log.splitlines()) < 3 * 10


async def test_an_err_trap(shell: Shell) -> None:
    await shell.output("trap 'echo \"E $?\"' ERR")
    seen = await shell.run("true\n(exit 4)\necho on\nfalse")
    assert (seen.exit_code, seen.content) == (1, "E 4\non\nE 1\n")
    assert await shell.output("echo $?") == "1\n"
    assert await shell.output("true") == ""
    assert (await shell.run("trap - ERR; false")).content == ""


async def test_an_exit_trap(shell: Shell) -> None:
    await shell.output("trap 'echo bye $?' EXIT")
    assert await shell.output("echo on; (exit 3) || true") == "on\n"
    seen = await shell.run("echo last; exit 7")
    assert (seen.status, seen.exit_code) == ("session_ended", 7)
    assert seen.content == "last\nexit\nbye 7\n"
    assert await shell.output("trap -p EXIT") == ""


async def test_an_int_trap(shell: Shell) -> None:
    await shell.output("trap 'echo caught' INT")
    began = await shell.run("echo on; sleep 60", timeout_s=0.5)
    assert (began.status, began.content) == ("timeout", "on\n")
    seen = await shell.interrupt(timeout_s=20)
    assert (seen.status, seen.exit_code, seen.content) == ("interrupted", 130, "\ncaught\n")
    assert await shell.output("trap -p INT") == "trap -- 'echo caught' SIGINT\n"


async def test_other_traps(shell: Shell) -> None:
    await shell.output("trap 'echo got USR1' USR1; trap '' USR2; trap 'echo back' RETURN")
    assert await shell.output("kill -USR2 $$; kill -USR1 $$") == "got USR1\n"
    assert await shell.output("f() { echo in; }; declare -ft f; f") == "in\nback\n"
    await shell.run("set -T; (exit 3)")
    assert await shell.output('echo "$? $-" | tr -cd 3T') == "3T"
    assert await shell.output("g() { echo in; }; g") == "in\nback\n"


async def test_standard_error_moves_and_comes_back(shell: Shell) -> None:
    await shell.output("exec 3>&2 2>err")
    assert await shell.output("echo hidden >&2; ls /nosuch || true") == ""
    assert await shell.output("set -x; echo a; set +x") == "a\n"
    await shell.output("exec 2>&3 3>&-")
    assert await shell.output("echo shown >&2") == "shown\n"
    kept = await shell.output("cat err")
    assert kept.startswith("hidden\n")
    assert "++ echo a" in kept
    assert "tether" not in kept


async def test_standard_output_moves_and_comes_back(shell: Shell) -> None:
    await shell.output("exec 4>&1 >out")
    assert await shell.output("echo hidden; echo shown >&2") == "shown\n"
    await shell.output("exec >&4 4>&-")
    assert await shell.output("cat out") == "hidden\n"


async def test_standard_input_is_the_terminal_again(shell: Shell) -> None:
    """`exec <file` holds to the end of its command."""
    assert await shell.output("echo line > in; exec <in; read x; echo $x") == "line\n"
    assert await shell.output("test -t 0 && echo terminal") == "terminal\n"
    waiting = await shell.run("read x; echo got $x")
    assert waiting.status == "waiting_for_input"
    assert (await shell.type("typed\n")).content.endswith("got typed\n")


async def test_a_trace_to_a_file(shell: Shell) -> None:
    await shell.output("exec 9>trace; BASH_XTRACEFD=9; set -x; echo a")
    assert await shell.output("echo b") == "b\n"
    await shell.output("{ set +x; unset BASH_XTRACEFD; }")
    trace = await shell.output("cat trace")
    assert "++ echo a\n" in trace
    assert "++ echo b\n" in trace


# --- modes that stay with a whole session ---------------------------------------------------------


async def test_a_script_with_everything(shell: Shell, tmp_path: Path) -> None:
    """What agents paste: a heredoc, a function, a loop, a trap, a subshell, in one command."""
    script = """\
set -u
work=$(mktemp -d)
trap 'rm -rf "$work"' RETURN
say() { printf '%s: %s\\n' "$1" "${2:-none}"; }
cat > "$work/list" <<-'LIST'
\tone $1
\ttwo `x`
LIST
while IFS= read -r line; do
    case $line in
        one*) say first "$line" ;;
        *)    say other "${line//\\`/}" ;;
    esac
done < "$work/list"
( cd "$work" && ls | wc -l | tr -d ' ' )
declare -A count=([a]=1 [b]=2)
for key in $(printf '%s\\n' "${!count[@]}" | sort); do say "$key" "${count[$key]}"; done
"""
    await shell.runtime.run(FileWriteAction(path=str(tmp_path / "s"), content=script))
    expected = "first: one $1\nother: two x\n1\na: 1\nb: 2\n"
    assert await shell.output(script) == expected
    assert await shell.output(f". {tmp_path}/s") == expected


async def test_none_of_it_was_odd(shell: Shell) -> None:
    """The shells of these tests had nothing to warn of; what ended them were the commands."""
    since = shell.runtime.events.last_seq
    await shell.run("set -o posix; trap : DEBUG ERR; set -xv; (exit 5); # odd")
    await shell.run("echo $_ $?; set +xv; trap - DEBUG ERR; set +o posix")
    assert not [
        event
        for event in shell.runtime.events.since(since)
        if isinstance(event, SessionWarning | SessionEnded)
    ]
