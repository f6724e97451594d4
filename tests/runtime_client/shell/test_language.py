"""Whatever is shell language works as it does in an ordinary interactive bash."""

from __future__ import annotations

import random

import pytest

from .conftest import Driver

CASES = {
    "several lines": ("echo a\necho b\n\n\necho c", "a\nb\nc\n"),
    "comment": ("# nothing\necho a # b\n# end", "a\n"),
    "only a comment": ("# nothing", ""),
    "nothing": ("", ""),
    "blank": (" \n\t\n", ""),
    "continuation": ("echo a \\\n  b", "a b\n"),
    "trailing backslash": ("echo a\\", "a\\\n"),
    "here-document": ("cat <<EOF\n$((1+1)) `echo x` \"q\" 'r' \\$z\nEOF\necho end", None),
    "quoted here-document": ("cat <<'EOF'\n$x `y` \"q\" 'r' \\\nEOF", "$x `y` \"q\" 'r' \\\n"),
    "here-string": ('cat <<< "a\'b"', "a'b\n"),
    "nested loops": (
        "for i in 1 2; do for j in a b; do echo $i$j; done; done",
        "1a\n1b\n2a\n2b\n",
    ),
    "while read": ("printf '1\\n2\\n' | while read x; do echo \"<$x>\"; done", "<1>\n<2>\n"),
    "case": ("case abc in a*) echo yes;; *) echo no;; esac", "yes\n"),
    "function": ('f() {\n  local x=$1\n  echo "f:$x"\n}\nf 1', "f:1\n"),
    "recursion": ("f() { [ $1 -gt 0 ] && f $(($1-1)); echo $1; }; f 2", "0\n1\n2\n"),
    "array": ("a=(1 '2 3' 4); echo \"${a[1]}\" ${#a[@]}", "2 3 3\n"),
    "associative array": ("declare -A m=([k]=v); echo ${m[k]}", "v\n"),
    "alias on a later line": ("alias hi='echo hello'\nhi", "hello\n"),
    "process substitution": ("cat <(echo a) <(echo b)", "a\nb\n"),
    "arithmetic": ("((x=5*3)); echo $x", "15\n"),
    "brace expansion": ("echo {1..3}{a,b}", "1a 1b 2a 2b 3a 3b\n"),
    "exclamation mark": ("echo a!b '!!' \"!x\"", "a!b !! !x\n"),
    "subshell": ("(cd /; pwd); pwd >/dev/null", "/\n"),
    "pipe status": ("false | true; echo ${PIPESTATUS[0]}", "1\n"),
    "mapfile": ("mapfile -t a < <(printf '1\\n2\\n'); echo ${a[1]}", "2\n"),
    "select": ("select x in a b; do echo $x; break; done <<< 2 2>/dev/null", "b\n"),
    "dollar quotes": ("printf '%s' $'a\\tb\\'c'", "a\tb'c"),
    "interactive": ("[[ $- == *i* ]] && tty -s && echo yes", "yes\n"),
    "standard streams": ("test -t 0 && test -t 1 && test -t 2 && echo yes", "yes\n"),
    "unicode": ("echo 'žluťoučký 🐎'", "žluťoučký 🐎\n"),
    "shell options": ("shopt -s nullglob extglob; echo /nothing*here; shopt -u nullglob", "\n"),
    "coprocess": ("coproc cat; echo hi >&${COPROC[1]}; read x <&${COPROC[0]}; echo $x", None),
    "own trap": ("trap 'echo caught' USR1; kill -USR1 $$; trap - USR1", "caught\n"),
}


@pytest.mark.parametrize(("command", "expected"), CASES.values(), ids=CASES.keys())
async def test_language(shell: Driver, command: str, expected: str | None) -> None:
    result = await shell.run(command)
    assert result.code == 0
    if expected is not None:
        assert result.text == expected
    assert await shell.say("echo next") == "next\n"


ERRORS = {
    "unbalanced quote": ("echo 'a", 2, "unexpected EOF"),
    "unbalanced double quote": ('echo "a', 2, "unexpected EOF"),
    "unbalanced parenthesis": ("echo (", 2, "syntax error"),
    "closing parenthesis": ("echo a; )", 2, "syntax error"),
    "closing brace": ("}", 2, "syntax error"),
    "unfinished loop": ("for i in 1; do echo $i", 2, "syntax error"),
    "unfinished pipe": ("echo a |", 2, "syntax error"),
    "lonely done": ("done", 2, "syntax error"),
    "break": ("break", 0, "only meaningful in"),
    "return": ("return 5", None, "can only `return'"),
    "not found": ("nosuchcommand", 127, "command not found"),
    "not executable": ("/etc/passwd", 126, "Permission denied"),
    "a directory": ("/etc", 126, "Is a directory"),
    "unset with -u": ("set -u; echo $nosuch; set +u", 1, "unbound variable"),
    "bad substitution": ("echo ${a b}", 1, "bad substitution"),
    "division by zero": ("echo $((1/0))", 1, "division by 0"),
    "read-only": ("readonly r=1; r=2", 1, "readonly variable"),
}


@pytest.mark.parametrize(("command", "code", "message"), ERRORS.values(), ids=ERRORS.keys())
async def test_errors_stay_in_their_command(
    shell: Driver, command: str, code: int | None, message: str
) -> None:
    result = await shell.run(command)
    assert message in result.text
    assert result.end.reason == "completed"
    if code is not None:
        assert result.code == code
    assert await shell.say("echo next") == "next\n"


@pytest.mark.parametrize("code", [0, 1, 2, 3, 77, 126, 127, 128, 130, 255])
async def test_exit_status_and_its_carrying(shell: Driver, code: int) -> None:
    assert (await shell.run(f"(exit {code})")).code == code
    assert shell.session.last_status == code
    assert await shell.say("echo $?") == f"{code}\n"


async def test_state_is_kept(shell: Driver) -> None:
    await shell.say("cd /usr && plain=1 && export exported=2 && f() { echo f$1; } && a=(1 2)")
    await shell.say("alias g='echo g'; set -f; umask 027; shopt -s extglob; trap 'echo u' USR1")
    assert await shell.say("echo $PWD $plain ${a[1]}; f 3; g; umask; echo *; env | grep ^exported")
    text = await shell.say("echo $PWD $plain ${a[1]}; f 3; g; umask; echo *; kill -USR1 $$")
    assert text == "/usr 1 2\nf3\ng\n0027\n*\nu\n"
    assert shell.session.cwd == "/usr"
    assert shell.session.exported["exported"] == "2"


async def test_large_here_document(shell: Driver) -> None:
    lines = [f"{n} $HOME `date` 'single' \"double\" \\ $(( " for n in range(4000)]
    body = "\n".join(lines)
    assert len(body) > 100_000
    assert await shell.say(f"cat <<'END'\n{body}\nEND") == body + "\n"


async def test_long_lines(shell: Driver) -> None:
    word = "x" * 100_000
    assert await shell.say(f"echo {word}") == word + "\n"


async def test_every_byte_but_nul(shell: Driver) -> None:
    everything = bytes(range(1, 256)).decode("utf-8", "surrogateescape")
    quoted = "'" + everything.replace("'", "'\\''") + "'"
    result = await shell.run(f"printf %s {quoted} | od -An -v -tx1")
    assert bytes.fromhex(result.text) == bytes(range(1, 256))


async def test_random_bytes_in_commands(shell: Driver) -> None:
    chance = random.Random(7)
    for _ in range(30):
        data = bytes(chance.choice([*range(1, 256), 39, 92, 10]) for _ in range(200))
        text = data.decode("utf-8", "surrogateescape")
        quoted = "'" + text.replace("'", "'\\''") + "'"
        assert (await shell.run(f"printf %s {quoted}")).output == data


async def test_traces_show_the_commands_alone(shell: Driver) -> None:
    await shell.say("set -x")
    assert await shell.say("echo a\nprintf b") == "++ echo a\na\n++ printf b\nb"
    assert await shell.say("set +x") == "++ set +x\n"
    await shell.say("set -v")
    assert await shell.say("echo a\necho b") == "echo a\na\necho b\nb\n"
    assert await shell.say("set +v") == "set +v\n"
    assert await shell.say("echo c") == "c\n"


async def test_debug_and_err_traps_see_the_commands_alone(shell: Driver) -> None:
    await shell.say("trap 'echo \"D $BASH_COMMAND\"' DEBUG")
    assert await shell.say("echo a") == "D echo a\na\n"
    await shell.say("trap 'echo\n echo E' ERR; trap - DEBUG")
    result = await shell.run("false\ntrue")
    assert (result.text, result.code) == ("\nE\n", 0)
    assert (await shell.run("false")).text == "\nE\n"
    assert (await shell.run("echo $?; trap - ERR; false")).text == "1\n"
    assert shell.listener.warnings == []


async def test_traces_and_traps_outlive_a_directory_that_is_not_there(shell: Driver) -> None:
    await shell.say("set -x")
    result = await shell.run("echo a", cwd="/nosuch")
    assert (result.code, result.text) == (1, "bash: cd: /nosuch: No such file or directory\n")
    assert await shell.say("set +x") == "++ set +x\n"
    await shell.say("trap 'echo \"D\n$BASH_COMMAND\"' DEBUG")
    assert "D" not in (await shell.run("echo a", cwd="/nosuch")).text
    assert await shell.say("echo b") == "D\necho b\nb\n"


async def test_traps_outlive_a_function_of_their_name(shell: Driver) -> None:
    await shell.say("trap 'echo D' DEBUG")
    await shell.say("trap() { :; }")
    assert await shell.say("echo a") == "D\na\n"
    assert await shell.say("unset -f trap; trap - DEBUG") == "D\nD\n"


async def test_status_is_carried_under_traces_and_traps(shell: Driver) -> None:
    await shell.run("trap : DEBUG; set -x; (exit 9)")
    assert "\n9\n" in (await shell.run("echo $?")).text


@pytest.mark.parametrize(
    "options", ["-u", "-n", "-o posix", "-f", "-k", "-o noclobber", "-m", "+m"]
)
async def test_options(shell: Driver, options: str) -> None:
    await shell.run(f"set {options}")
    assert await shell.say("echo a") == "a\n"
    assert (await shell.run("/bin/false")).code == 1
    assert await shell.say("echo $?") == "1\n"


async def test_ifs(shell: Driver) -> None:
    await shell.say("IFS=017")
    assert (await shell.run("(exit 107)")).code == 107
    assert await shell.say('echo "$?"; unset IFS') == "107\n"


async def test_standard_error_moves_and_comes_back(shell: Driver) -> None:
    await shell.say("exec 3>&2 2>err")
    assert await shell.say("echo hidden >&2; ls /nosuch || true") == ""
    await shell.say("exec 2>&3 3>&-")
    assert await shell.say("echo shown >&2") == "shown\n"
    assert "hidden" in await shell.say("cat err")


async def test_standard_output_moves_and_comes_back(shell: Driver) -> None:
    await shell.say("exec 4>&1 >out")
    assert await shell.say("echo hidden") == ""
    await shell.say("exec >&4 4>&-")
    assert await shell.say("cat out") == "hidden\n"


async def test_standard_input_does_not_stay_moved(shell: Driver) -> None:
    await shell.say("echo line > in; exec <in; read x; echo $x")
    assert await shell.say("test -t 0 && echo tty") == "tty\n"


async def test_history_has_no_lines_of_ours(shell: Driver) -> None:
    assert await shell.say("history") == ""
    await shell.say("set -o history; set -H")
    await shell.say("echo a")
    assert "tether" not in await shell.say("history")


async def test_nothing_of_ours_in_the_shell(shell: Driver) -> None:
    await shell.run("(exit 3)")
    listing = await shell.say("declare -F; alias; trap -p; compgen -v; true")
    assert "__tether" not in listing


async def test_programs_inherit_no_descriptor_of_ours(shell: Driver) -> None:
    assert await shell.say("ls /proc/self/fd | xargs") == "0 1 2 3\n"


async def test_line_numbers_count_up(shell: Driver) -> None:
    first, second = map(int, (await shell.say("echo $LINENO\necho $LINENO")).split())
    assert second == first + 1


async def test_programs_get_default_signals(shell: Driver) -> None:
    assert await shell.say("yes | head -1; echo ${PIPESTATUS[0]}") == "y\n141\n"


DISCARDED = [
    ". /nosuch",
    "set -o nosuch",
    "shift 99",
    "trap x BADSIGNAL",
    "eval '('",
    "exec </nosuch",
    ": ${nosuch?message}",
    "readonly r=1; r=2",
    "readonly r=1; export r=2",
    "readonly r=1; unset r",
    "readonly r=1; for r in 1; do :; done",
    "readonly r=1; read r <<< x",
    "readonly r=1; r=2 true",
    "readonly r=1; (( r = 2 ))",
    "readonly r=1; printf -v r x",
    "set -u; echo $nosuch",
    "set -u; : $(( nosuch + 1 ))",
    "echo $((1 +))",
    "(( 1 / 0 ))",
    "let 1/0",
    "declare -n n=n; n=1",
    "a=(1); a[-5]=2",
    "export 1a=2",
    "f() { return x; }; f",
    "break 0",
    "while :; do continue -1; done",
    "exit a b",
    "echo > /nosuch/file",
    "cat < /nosuch",
    "echo ${x:1:-5}",
    "shopt -s failglob; echo /nosuch*",
    "unset -f nosuch; unset -v 'a b'",
    "getopts",
    "cd /nosuch",
    "command -p nosuchcommand",
    "ulimit -n 99999999999",
]


@pytest.mark.parametrize("mode", ["", "set -o posix; "], ids=["bash", "posix"])
@pytest.mark.parametrize("command", DISCARDED)
async def test_errors_that_abandon_a_line(shell: Driver, command: str, mode: str) -> None:
    pid = shell.session.pid
    result = await shell.run(f"{mode}{command}")
    assert result.end.reason in ("completed", "session_ended")
    if result.end.reason == "session_ended":
        assert "exited" in result.end.detail
    else:
        assert shell.session.pid == pid
        assert await shell.say("set +u; echo next") == "next\n"
