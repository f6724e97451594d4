"""`tether exec`: a process in a running sandbox, beside whoever controls it."""

from __future__ import annotations

import os
import re
import shlex
import sys
import time
from dataclasses import dataclass
from typing import Any

import click

from tether_runtime_client.protocol.exec_actions import ExecEntry, ExecSignalAction

from ..operator import OperatorRuntime
from ..process import signal_name
from ..spawn_options import SpawnOptions
from .dashes import CommandAfterDashes
from .execution import Execution
from .interrupts import Interrupts, run_async
from .names import PROCESS, SANDBOX
from .output import Output
from .raw_terminal import has_terminal, window
from .start_options import environment
from .terminal_session import show_terminal, terminal_environment
from .text import age, clipped, visible

ARGV_WIDTH = 60
NO_WINDOW = (24, 80)


@dataclass(frozen=True)
class Start:
    """How CMD is to be started, as the options say."""

    tty: bool
    detach: bool
    env: tuple[str, ...]
    workdir: str | None
    user: str | None
    group: str | None
    umask: int | None
    nice: int | None
    timeout: float | None
    id: str | None

    def given(self) -> str:
        """The options that were given, for a message; or nothing."""
        return ", ".join(f"--{name}" for name, value in vars(self).items() if value not in _NOT)

    def options(self, *, stdin: bool) -> SpawnOptions:
        """The same as `spawn` takes them."""
        env = environment(self.env)
        options = SpawnOptions(
            stdin=stdin,
            detach=self.detach,
            cwd=self.workdir,
            user=self.user,
            group=self.group,
            umask=self.umask,
            nice=self.nice,
            timeout_s=self.timeout,
        )
        if self.tty:
            options["tty"] = True
            options["size"] = window() if has_terminal() else NO_WINDOW
            env = {**terminal_environment(), **env}
        options["env"] = env
        return options


_NOT = (None, False, ())
"""The values of options that were not given."""


def _mask(ctx: click.Context, param: click.Parameter, text: str | None) -> int | None:
    """In octal, as the shell's `umask` takes it. Raises `click.BadParameter`."""
    if text is None:
        return None
    if not re.fullmatch("0?[0-7]{1,3}", text):
        raise click.BadParameter(f"{text!r} is no mask: give octal digits, such as 027")
    return int(text, 8)


def _seconds(ctx: click.Context, param: click.Parameter, text: str | None) -> float | None:
    """A time that has an end. Raises `click.BadParameter`."""
    if text is None:
        return None
    if not re.fullmatch(r"\d+(\.\d+)?|\.\d+", text):
        raise click.BadParameter(f"{text!r} is no number of seconds, such as 2.5")
    return float(text)


@click.command(cls=CommandAfterDashes)
@click.argument("name", type=SANDBOX)
@click.option("-t", "--tty", is_flag=True, help="On a terminal; without CMD a login shell.")
@click.option("-d", "--detach", is_flag=True, help="Leave it running, and print its id.")
@click.option("-l", "--list", "listing", is_flag=True, help="List these, what runs at the end.")
@click.option("-a", "--attach", type=PROCESS, metavar="ID", help="Go on with one that was started.")
@click.option(
    "-k", "--kill", type=PROCESS, metavar="ID", help="Send one SIGTERM, or what --signal says."
)
@click.option("-s", "--signal", "which", metavar="SIGNAL", help="With --kill: a name or number.")
@click.option("-e", "--env", multiple=True, metavar="K=V", help="Set a variable; K passes it.")
@click.option("-w", "--workdir", metavar="DIR", help="Start in this directory.")
@click.option("-u", "--user", metavar="USER", help="Run as this user (name, uid or uid:gid).")
@click.option("--group", metavar="GROUP", help="Run as this group (name or gid).")
@click.option("--umask", callback=_mask, metavar="MASK", help="The mask of new files, as 027.")
@click.option("--nice", type=click.IntRange(-20, 19), metavar="N", help="Its niceness.")
@click.option("--timeout", callback=_seconds, metavar="SECONDS", help="Kill it after so long.")
@click.option("--id", metavar="ID", help="Its id; given again, nothing is started a second time.")
@click.option("-n", "--no-stdin", is_flag=True, help="Do not pass standard input on.")
def command(
    words: tuple[str, ...],
    name: str,
    listing: bool,
    attach: str | None,
    kill: str | None,
    which: str | None,
    no_stdin: bool,
    **how: Any,
) -> int:
    """Run CMD in the running sandbox NAME, and leave with its exit code.

    Standard output and error come through as they are, byte for byte, and as fast as they are
    read here, until CMD ends: what it left in the background writes nowhere from then on. Standard
    input is passed on as it comes when it is not a terminal. There is no shell unless CMD is one.

    Ctrl-C interrupts CMD, whose exit code counts then too; if it has not ended five seconds later,
    or at a second Ctrl-C, it is killed.

    A detached CMD goes on when tether has left; --attach shows its output from the beginning, and
    Ctrl-C there leaves it running.
    """
    start = Start(**how)
    _check(words, start, {"--list": listing, "--attach": attach, "--kill": kill})
    if which is not None and kill is None:
        raise click.UsageError("--signal goes with --kill ID")
    if listing:
        return run_async(lambda _: _list(name))
    if kill is not None:
        return run_async(lambda _: _kill(name, kill, which or "TERM"))
    stdin = not (no_stdin or start.detach or sys.stdin is None or os.isatty(0))
    if attach is not None:
        return run_async(lambda interrupts: _attach(name, attach, stdin, interrupts))
    return run_async(lambda interrupts: _run(name, words, start, stdin, interrupts))


def _check(words: tuple[str, ...], start: Start, others: dict[str, object]) -> None:
    """Raises `click.UsageError` for what does not go together."""
    chosen = [option for option, value in others.items() if value not in _NOT]
    if len(chosen) + bool(words) > 1:
        raise click.UsageError("one of -- CMD, --list, --attach and --kill")
    if chosen and start.given():
        raise click.UsageError(f"{start.given()} is for a CMD that starts, not with {chosen[0]}")
    if not (words or chosen or (start.tty and not start.detach)):
        raise click.UsageError("there is no command to run: give it behind --")
    if start.tty and not start.detach and not has_terminal():
        raise click.UsageError("--tty is for people: standard input and output are no terminal")


async def _run(
    name: str, words: tuple[str, ...], start: Start, stdin: bool, interrupts: Interrupts
) -> int:
    with Output() as output:
        async with OperatorRuntime.beside(name) as runtime:
            starting = runtime.spawn(words, id=start.id, **start.options(stdin=stdin))
            if start.detach:
                click.echo((await starting).id)
                return 0
            if start.tty:
                return await show_terminal(starting, output, interrupts)
            return await Execution(output, interrupts, stdin=stdin).run(starting)


async def _attach(name: str, id: str, stdin: bool, interrupts: Interrupts) -> int:
    with Output() as output:
        async with OperatorRuntime.beside(name) as runtime:
            one = await _find(runtime, id)
            if one.detach:
                interrupts.farewell = f"left running: tether exec {name} --attach {one.id}"
            if one.tty and has_terminal():
                return await show_terminal(runtime.process(one.id), output, interrupts)
            execution = Execution(output, interrupts, stdin=stdin)
            return await execution.run(runtime.process(one.id))


async def _kill(name: str, id: str, which: str) -> int:
    signal = signal_name(int(which) if which.isdecimal() else which)
    async with OperatorRuntime.beside(name) as runtime:
        one = await _find(runtime, id)
        await runtime.run(ExecSignalAction(target_id=one.id, signal=signal))
    return 0


async def _find(runtime: OperatorRuntime, id: str) -> ExecEntry:
    """By its id, or the beginning of it as far as that is of one only."""
    known = await runtime.processes()
    found = [one for one in known if one.id == id]
    found = found or [one for one in known if id and one.id.startswith(id)]
    if len(found) != 1:
        some = f"{len(found)} processes have" if found else "no process has"
        text = f"{some} an id that begins with {id!r}: --list tells which there are"
        raise click.UsageError(text)
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
