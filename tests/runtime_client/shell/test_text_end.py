"""Where a command's text ends, and what `$_` becomes."""

from __future__ import annotations

import time

import pytest

from tether_runtime_client.shell.text_end import has_command, plain_last_word, takes_line_after


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("true", "true"),
        (" mkdir -p /a/b \n", "/a/b"),
        ("export A=1", "A=1"),
        ("cd -", "-"),
        ("A=1", None),
        ("A=1 true", None),
        ("a b\nc", None),
        ("", None),
        *((f"echo {text}", None) for text in ("$x", "*", "~", "'a'", "a;b", "a|b", "a\\", "{a,b}")),
        ("echo ž", None),
        ("[ a ]", None),
        ("! true", None),
        ("declare -p _", None),
        ("readonly _", None),
        ("settle down", "down"),
    ],
)
def test_plain_last_word(text: str, last: str | None) -> None:
    assert plain_last_word(text) == last


@pytest.mark.parametrize(
    "text",
    [
        "echo 'a'",
        "echo a # b |",
        "a &",
        "# a |\nb;",
        "cat <<E\nx\nE",
        "cat <<-'E' <<\"F\"\n\tE\nF\n",
        "cat <<\\E\nE",
        "cat <<< x",
        "cat <<A\n<<B\nA",
        "set -euo pipefail\nx='y'",
        "grep -v x $y",
        "[[ $x == [[:alpha:]] ]]",
        "a=(1 2) && (b)",
        "echo '('",
    ],
)
def test_a_line_may_follow(text: str) -> None:
    assert takes_line_after(text) == ("b |" not in text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\t",
        "# a\n # b",
        "a |",
        "a && ",
        "a ||\n\n# b\n",
        "a | # b",
        "a \\",
        "# a \\",
        "cat <<E",
        "cat <<E\nx\n E",
        "cat <<-E\n  E",
        "cat <<E\n\tE",
        "cat <<E <<F\nF\nE",
        "echo $((1<<2))",
        "f()",
        "a; f ( ) # b",
        "function f\n\n# b",
        "for x",
        "select x # b",
        "set -v",
        "set -e -xv; a",
        "set -o verbose",
        "[[ a",
        "a=(1\n2",
    ],
)
def test_no_line_may_follow(text: str) -> None:
    assert not takes_line_after(text)


@pytest.mark.parametrize("text", ["", " \n\t", "# a\n # b\n\n", "\t#"])
def test_no_command(text: str) -> None:
    assert not has_command(text)
    assert has_command(text + "\n;")


@pytest.mark.parametrize("part", ["a |\n", "#\n", "set -a ", "<<E ", "| # ", "\\", "set ", "a\t"])
def test_any_text_takes_no_time(part: str) -> None:
    text = part * (500_000 // len(part)) + "$x"
    began = time.perf_counter()
    takes_line_after(text)
    plain_last_word(text)
    assert time.perf_counter() - began < 2
