"""`tether exec`: a process in a running sandbox, beside whoever controls it."""

from __future__ import annotations

import os
import shlex
import sys
import time
from dataclasses import dataclass

import click

from tether_runtime_client.protocol.exec_actions import ExecEntry

from ..operator import OperatorRuntime
from ..spawn_options import SpawnOptions
from .dashes import CommandAfterDashes
from .execution import Execution
from .interrupts import Interrupts, run_async
from .names import SANDBOX
from .output import Output
from .raw_terminal import has_terminal, window
from .start_options import environment
from .terminal_session import show_terminal, terminal_environment
from .text import age, clipped, visible

ARGV_WIDTH = 60
NO_WINDOW = (24, 80)


@dataclass(frozen=True)
class Asked:
    """What was asked for on the command line."""

    words: tuple[str, ...]
    id: str | None
    tty: bool
    detach: bool
    stdin: bool
    env: tuple[str, ...]
    workdir: str | None
    user: str | None

    def options(self) -> SpawnOptions:
        """How to start it."""
        env = environment(self.env)
        options = SpawnOptions(
            stdin=self.stdin, detach=self.detach, cwd=self.workdir, user=self.user
        )
        if self.tty:
            options["tty"] = True
            options["size"] = window() if has_terminal() else NO_WINDOW
            env = {**terminal_environment(), **env}
        options["env"] = env
        return options


@click.command(cls=CommandAfterDashes)
@click.argument("name", type=SANDBOX)
@click.option("-t", "--tty", is_flag=True, help="On a terminal; without CMD a login shell.")
@click.option("-d", "--detach", is_flag=True, help="Leave it running, and print its id.")
@click.option("-l", "--list", "listing", is_flag=True, help="List what was started like this.")
@click.option("-a", "--attach", "id", metavar="ID", help="Go on with one that was started.")
@click.option("-e", "--env", multiple=True, metavar="K=V", help="Set a variable; K passes it.")
@click.option("-w", "--workdir", metavar="DIR", help="Start in this directory.")
@click.option("-u", "--user", metavar="USER", help="Run as this user (name, uid or uid:gid).")
@click.option("-n", "--no-stdin", is_flag=True, help="Do not pass standard input on.")
def command(
    words: tuple[str, ...],
    name: str,
    tty: bool,
    detach: bool,
    listing: bool,
    id: str | None,
    env: tuple[str, ...],
    workdir: str | None,
    user: str | None,
    no_stdin: bool,
) -> int:
    """Run CMD in the running sandbox NAME, and leave with its exit code.

    Standard output and error come through as they are, byte for byte, and as fast as they are
    read here. Standard input is passed on as it comes when it is not a terminal. Ctrl-C interrupts
    CMD, whose exit code counts then too. There is no shell unless CMD is one.

    A detached CMD goes on when tether has left; --attach shows its output from the beginning, and
    Ctrl-C there leaves it running.
    """
    if sum((bool(words), listing, id is not None)) > 1:
        raise click.UsageError("one of -- CMD, --list and --attach")
    if not (words or listing or id or (tty and not detach)):
        raise click.UsageError("there is no command to run: give it behind --")
    if tty and not detach and not has_terminal():
        raise click.UsageError("--tty is for people: standard input and output are no terminal")
    if listing:
        return run_async(lambda _: _list(name))
    stdin = not (no_stdin or detach or sys.stdin is None or os.isatty(0))
    asked = Asked(words, id, tty, detach, stdin, env, workdir, user)
    return run_async(lambda interrupts: _run(name, asked, interrupts))


async def _run(name: str, asked: Asked, interrupts: Interrupts) -> int:
    with Output() as output:
        async with OperatorRuntime.beside(name) as runtime:
            if asked.detach:
                click.echo((await runtime.spawn(asked.words, **asked.options())).id)
                return 0
            if asked.tty:
                starting = runtime.spawn(asked.words, **asked.options())
                return await show_terminal(starting, output, interrupts)
            execution = Execution(output, interrupts, stdin=asked.stdin)
            if asked.id is None:
                return await execution.run(runtime.spawn(asked.words, **asked.options()))
            one = await _find(runtime, asked.id)
            if one.tty and has_terminal():
                return await show_terminal(runtime.process(one.id), output, interrupts)
            return await execution.run(runtime.process(one.id))


async def _find(runtime: OperatorRuntime, id: str) -> ExecEntry:
    """By the beginning of its id, as far as that is of one only."""
    found = [one for one in await runtime.processes() if one.id.startswith(id)]
    if len(found) != 1:
        some = f"{len(found)} processes have" if found else "no process has"
        raise click.UsageError(f"{some} an id that begins with {id}: --list tells which there are")
    return found[0]


async def _list(name: str) -> int:
    async with OperatorRuntime.beside(name) as runtime:
        execs = await runtime.processes()
    now = time.time()
    rows = [("ID", "PID", "STATE", "AGE", "OUTPUT", "COMMAND"), *(_row(one, now) for one in execs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        click.echo("  ".join(cells).rstrip())
    return 0


def _row(one: ExecEntry, now: float) -> tuple[str, ...]:
    return (
        visible(one.id),
        str(one.pid),
        _state(one),
        age(now - one.started),
        str(one.stdout_bytes + one.stderr_bytes),
        clipped(visible(shlex.join(one.argv)), ARGV_WIDTH),
    )


def _state(one: ExecEntry) -> str:
    if one.exit_code is not None:
        return f"ended {one.exit_code}"
    return "running" + (", detached" if one.detach else "") + (", attached" * one.attached)
