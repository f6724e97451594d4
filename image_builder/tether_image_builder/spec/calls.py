"""Programs that a script calls, also through other programs: `sudo`, `env`, `sh -c`, `eval`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from .shell_words import UNKNOWN, Command, commands

SHELLS = {"sh", "bash", "dash", "ash", "zsh", "ksh"}
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*", re.DOTALL)
_DEEPEST = 5

# Programs that run another one: the options of theirs that take a word, and how many words of
# their own come before it.
_WRAPPERS: Mapping[str, tuple[frozenset[str], int]] = {
    "sudo": (frozenset({"-u", "-g", "-h", "-p", "-C", "-r", "-t", "-T", "-U", "-D", "-R"}), 0),
    "doas": (frozenset({"-u", "-C"}), 0),
    "env": (frozenset({"-u", "--unset", "-C", "--chdir"}), 0),
    "timeout": (frozenset({"-s", "--signal", "-k", "--kill-after"}), 1),
    "nice": (frozenset({"-n", "--adjustment"}), 0),
    "ionice": (frozenset({"-c", "-n"}), 0),
    "chroot": (frozenset(), 1),
    "flock": (frozenset({"-w", "--timeout", "-E"}), 1),
    "xargs": (frozenset({"-n", "-I", "-P", "-L", "-d", "-a", "-s", "-E"}), 0),
    "stdbuf": (frozenset({"-i", "-o", "-e"}), 0),
    "exec": (frozenset({"-a"}), 0),
    "command": (frozenset(), 0),
    "builtin": (frozenset(), 0),
    "nohup": (frozenset(), 0),
    "setsid": (frozenset(), 0),
    "time": (frozenset({"-o", "-f"}), 0),
    "eatmydata": (frozenset(), 0),
}


@dataclass(frozen=True)
class Call:
    """A program that is run.

    Attributes:
        program: its name without a folder.
        arguments: as far as they are known before it runs.
        line: of the script, from 1.
        assignments: variables that are set for it, or by it where there is no program.
        written: paths that its output is redirected to.
        document: the body of its here-document.
        through: the calls that run it, the outermost first.
    """

    program: str
    arguments: tuple[str, ...]
    line: int
    assignments: Mapping[str, str]
    written: tuple[str, ...] = ()
    document: str = ""
    through: tuple[Call, ...] = ()

    @property
    def options(self) -> tuple[str, ...]:
        """Arguments that begin with a dash."""
        return tuple(word for word in self.arguments if word.startswith("-"))

    @property
    def text(self) -> str:
        """All of it, for a search."""
        return " ".join([self.program, *self.arguments, *self.assignments.values(), self.document])


def calls(script: str, first_line: int = 1, through: tuple[Call, ...] = ()) -> Iterator[Call]:
    """All calls of a script, one that runs another one before it."""
    for command in commands(script):
        yield from _unwrapped(_call(command, first_line, through))


def _call(command: Command, first_line: int, through: tuple[Call, ...]) -> Call:
    words = command.words or ("",)
    return Call(
        program=PurePosixPath(words[0]).name,
        arguments=words[1:],
        line=first_line + command.line - 1,
        assignments=command.assignments,
        written=command.written,
        document=command.document,
        through=through,
    )


def _unwrapped(call: Call) -> Iterator[Call]:
    yield call
    if len(call.through) >= _DEEPEST:
        return
    inner = (*call.through, call)
    if script := _script_within(call):
        yield from calls(script, call.line, inner)
    elif call.program in _WRAPPERS and (rest := _rest(call)):
        assignments = {word.partition("=")[0]: word.partition("=")[2] for word in _leading(rest)}
        words = rest[len(_leading(rest)) :]
        if words:
            yield from _unwrapped(
                replace(
                    call,
                    program=PurePosixPath(words[0]).name,
                    arguments=words[1:],
                    assignments={**call.assignments, **assignments},
                    through=inner,
                )
            )


def _rest(call: Call) -> tuple[str, ...]:
    """The words of a wrapper behind its own options and words."""
    with_word, own = _WRAPPERS[call.program]
    words = list(call.arguments)
    while words and words[0].startswith("-"):
        option = words.pop(0)
        if option == "--":
            break
        if option in with_word and words:
            words.pop(0)
    return tuple(words[own:])


def _leading(words: tuple[str, ...]) -> tuple[str, ...]:
    found = []
    for word in words:
        if not _ASSIGNMENT.fullmatch(word):
            break
        found.append(word)
    return tuple(found)


def _script_within(call: Call) -> str:
    """A script that is handed to a shell as a word or in a here-document, so far as it is known."""
    if call.program == "eval":
        return "" if any(UNKNOWN in word for word in call.arguments) else " ".join(call.arguments)
    if call.program in SHELLS or call.program == "su":
        for option, word in zip(call.arguments, call.arguments[1:], strict=False):
            if re.fullmatch(r"-[a-z]*c", option):
                return word.replace(UNKNOWN, '"$unknown"')
    is_fed = call.program in SHELLS and not any(not w.startswith("-") for w in call.arguments)
    return f"\n{call.document}" if is_fed and call.document else ""
