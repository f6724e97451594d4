"""Commands whose ends race with interrupts, and what may be left of one. Not collected."""

from __future__ import annotations


def racing(number: int) -> str:
    """A command with an end that an interrupt may come before, at or after; three kinds by turns.

    A program is over, a loop of the shell's own, or a subshell.
    """
    between = ("", "for i in 1 2 3 4 5; do :; done; ", "(exit 0); ")[number % 3]
    first = "/bin/echo" if number % 3 == 0 else "echo"
    return f"{first} {number}a; {between}echo {number}b"


def what_is_left(number: int, output: str) -> list[str]:
    """The lines it printed, which are a beginning of all of them and nothing else."""
    whole = [f"{number}a", f"{number}b"]
    lines = [line for line in output.split("\n") if line]
    assert lines == whole[: len(lines)], (number, output)
    return lines
