"""How a failure ends the command: one line, a hint, an exit code. A traceback only with --debug."""

from __future__ import annotations

import errno
import traceback

import click

from .text import harmless
from .wording import on_command_line

OWN_FAILURE = 125
NOT_EXECUTABLE = 126
NOT_FOUND = 127
INTERRUPTED = 130
BROKEN_PIPE = 141
_CODES = {"command_not_found": NOT_FOUND, "not_executable": NOT_EXECUTABLE}


def report_failure(problem: BaseException, *, debug: bool) -> int:
    """Say on standard error what went wrong; returns the exit code."""
    if debug:
        traceback.print_exception(problem)
    if isinstance(problem, KeyboardInterrupt | click.Abort):
        return INTERRUPTED
    if isinstance(problem, BrokenPipeError):
        return BROKEN_PIPE
    if isinstance(problem, click.ClickException):
        return _usage(problem)
    message, hint = _words(problem)
    complain(message, hint)
    return _CODES.get(getattr(problem, "code", ""), OWN_FAILURE)


def complain(message: str, hint: str = "") -> None:
    """Write a message and, below it, what to do next."""
    click.echo(f"{click.style('tether:', fg='red', bold=True)} {harmless(message)}", err=True)
    if hint:
        click.echo(f"        {harmless(hint)}", err=True)


def _usage(problem: click.ClickException) -> int:
    context = getattr(problem, "ctx", None)
    complain(problem.format_message())
    if context is not None:
        click.echo(f"        {context.command_path} --help says how it is used", err=True)
    return OWN_FAILURE


def _words(problem: BaseException) -> tuple[str, str]:
    from tether_runtime_client.protocol.errors import TetherError

    from ..state_problem import NO_ROOM, state_problem

    problem = state_problem(problem) or problem
    if isinstance(problem, TetherError):
        return problem.message, on_command_line(problem.hint)
    if isinstance(problem, OSError):
        if problem.filename is None and problem.errno in (*NO_ROOM, errno.EBADF):
            return f"standard output cannot be written: {problem.strerror}", ""
        return str(problem), ""
    text = f"{type(problem).__name__}: {problem}"
    return f"this is a bug in tether: {text}", "`tether --debug …` shows where it comes from"
