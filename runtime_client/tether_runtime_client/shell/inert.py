"""Commands that leave the shell as it is, as far as their text tells. Pure.

A program cannot change the shell that waits for it. So where a command is one program with plain
words, and no function, alias or trap comes in between, what the shell last told of itself still
holds, and it need not tell it again: that is most of the work of a short command.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_PROGRAM = re.compile(r"[ \t\n]*([\w+:./-]{1,100})(?:[ \t]+[\w@%+:,./=-]+)*[ \t\n]*", re.ASCII)
# Other builtins and keywords; what is none of them is a program, and runs in its own process.
_OTHERS = re.compile(
    r"""\. | alias | bg | bind | break | builtin | caller | cd | command | compgen | complete
    | compopt | continue | declare | dirs | disown | enable | eval | exec | exit | export | fc | fg
    | getopts | hash | help | history | jobs | kill | let | local | logout | mapfile | popd | printf
    | pushd | pwd | read | readarray | readonly | return | set | shift | shopt | source | suspend
    | times | trap | type | typeset | ulimit | umask | unalias | unset | wait
    | if | then | else | elif | fi | case | esac | for | select | while | until | do | done | in
    | function | time | coproc""",
    re.VERBOSE,
)
_NAMES = re.compile(rb"^(?:alias (?:-- )?)?([^= \n]+)", re.MULTILINE)
_TRAP = re.compile(rb"^trap -- ", re.MULTILINE)


def inert_program(text: str) -> str | None:
    """The name of the program that this command is; None where it may change the shell."""
    found = _PROGRAM.fullmatch(text)
    if found is None or _OTHERS.fullmatch(found[1]):
        return None
    return found[1]


def programs(asked: Iterable[bytes], told: bytes) -> frozenset[bytes]:
    """Those of the names by which nothing but a program is run; none where a trap may run too.

    `told` is what `declare -F -- NAMES`, `alias -p` and `trap -p` print.
    """
    if _TRAP.search(told):
        return frozenset()
    return frozenset(asked) - frozenset(_NAMES.findall(told))
