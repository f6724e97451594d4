"""Brings up a shell: bash, its setup line, its startup files, and what an earlier one knew."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .blocked import sleeps
from .command import EndReason, RunningCommand
from .config import Startup
from .errors import NoRoom, ShellStartError
from .family import Family
from .mark import VARIABLE
from .run import Request
from .shell import Shell, ShellOwner
from .words import quote

_END_S = 1.0
_ROOM_S, _LOOK_S = 1.0, 0.02  # for room for a process, and between two looks
_HUNGER_LOOK_S, _HUNGER_LOOKS = 0.25, 6  # bash tries to fork again after a second, then after two
_STARTUP: Mapping[Startup, str] = {
    "none": "",
    # Debian's bash reads the first file by itself when it is interactive; ours is told not to.
    "bashrc": (
        "for __tether in /etc/bash.bashrc ~/.bashrc; do\n"
        'if [ -r "$__tether" ]; then . "$__tether"; fi\n'
        "done; unset -v __tether"
    ),
    "profile": (
        "if [ -r /etc/profile ]; then . /etc/profile; fi\n"
        "for __tether in ~/.bash_profile ~/.bash_login ~/.profile; do\n"
        'if [ -r "$__tether" ]; then . "$__tether"; break; fi\n'
        "done; unset -v __tether"
    ),
}
_SHELLS_OWN = frozenset({"PWD", "SHLVL", "_", VARIABLE})


@dataclass(frozen=True, slots=True)
class Plan:
    """What to start. `restore` says that cwd and env are those of a shell that is no more, and
    `gone` are the variables that it had exported once and no longer.
    """

    bash: str
    cwd: str
    env: Mapping[str, str]
    size: tuple[int, int]
    family: Family
    startup: Startup
    startup_s: float
    restore: bool
    commands: str | None = None
    gone: frozenset[str] = frozenset()


async def bring_up(plan: Plan, owner: ShellOwner, warn: Callable[[str], None]) -> Shell:
    """A shell that is ready for commands.

    Where the startup files end it, do not end in time or ask for input, it is one without them,
    and `warn` is told. Raises ShellStartError. What was started is ended again when this fails
    or is cancelled.
    """
    shell = await _set_up(plan, owner)
    complaint = await _run_startup_files(shell, plan)
    if complaint is None:
        return shell
    warn(complaint)
    await end_shell(shell, plan.family)
    return await _set_up(plan, owner)


async def _set_up(plan: Plan, owner: ShellOwner) -> Shell:
    shell = await _start(plan, owner)
    command = RunningCommand("", Discard(), hidden=True)
    shell.set_up(command)
    if await _end_of(shell, command, plan) != "completed":
        await end_shell(shell, plan.family)
        raise ShellStartError(f"{plan.bash} did not become ready; is it a working bash?")
    return shell


async def _start(plan: Plan, owner: ShellOwner) -> Shell:
    """A shell's process. In a full sandbox the room of one that is ending may come free: the
    kernel tells nobody when, so it is tried again for a second.
    """
    deadline = time.monotonic() + _ROOM_S
    while True:
        try:
            return Shell(plan.bash, plan.cwd, plan.env, plan.size, plan.family, owner)
        except NoRoom:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(_LOOK_S)


async def _run_startup_files(shell: Shell, plan: Plan) -> str | None:
    """Run them, then put back what an earlier shell knew; returns what went wrong."""
    if plan.startup == "none":
        return None
    text = _STARTUP[plan.startup] + _first_on_path(plan.commands)
    command = RunningCommand(text, Discard(), hidden=True)
    shell.begin(Request(command))
    starving = asyncio.create_task(starves(shell.pid))
    try:
        reason = await _end_of(shell, command, plan, starving)
    finally:
        starving.cancel()
    if reason == "session_ended":
        return "the startup files ended the shell; going on without them"
    if reason is None and starving.done() and not starving.cancelled():
        return "as many processes run as are allowed: going on without the startup files"
    if reason is None:
        state = "asked for input" if command.waiting.done() else "took too long"
        return f"the startup files {state} and were stopped; going on without them"
    if plan.restore:
        return await _restore(shell, plan)
    return None


def _first_on_path(folder: str | None) -> str:
    """A profile sets PATH as if nobody had before; what it adds to one that it keeps is behind."""
    if folder is None:
        return ""
    quoted = _quoted(folder)
    return (
        f'\ncase ":$PATH:" in *:{quoted}:*) ;; *)'
        f' PATH={quoted}"${{PATH:+:$PATH}}"; \\builtin export PATH ;; esac'
    )


async def _restore(shell: Shell, plan: Plan) -> str | None:
    """Startup files set variables again that the earlier shell had changed since. What it never
    had is new in them, and stays.
    """
    command = RunningCommand(_restoring(plan), Discard(), hidden=True)
    shell.begin(Request(command))
    if await _end_of(shell, command, plan) == "completed":
        return None
    return "the exported variables could not be restored after the startup files"


def _restoring(plan: Plan) -> str:
    lines = [f"\\builtin cd -- {_quoted(plan.cwd)}"]
    if gone := sorted(plan.gone - _SHELLS_OWN):
        lines.append(f"\\builtin unset -v {' '.join(gone)}")
    for name, value in plan.env.items():
        if name.isidentifier() and name not in _SHELLS_OWN:
            lines.append(f"\\builtin export {name}={_quoted(value)}")
    return "{ " + "\n".join(lines) + "\n} 2>/dev/null"


def _quoted(text: str) -> str:
    return quote(text).decode("utf-8", "surrogateescape")


async def starves(pid: int) -> None:
    """Return once bash has found no room for a process again and again. It would go on so for 15
    seconds, for each one that it is to begin; the kernel tells nobody of room.
    """
    looks = 0
    while looks < _HUNGER_LOOKS:
        await asyncio.sleep(_HUNGER_LOOK_S)
        looks = looks + 1 if sleeps(pid) else 0


async def _end_of(
    shell: Shell, command: RunningCommand, plan: Plan, *others: asyncio.Future[None]
) -> EndReason | None:
    """How the command ended; None when it did not in time, asks for input, or another is done."""
    events: list[asyncio.Future[Any]] = [command.done, command.waiting, *others]
    try:
        await asyncio.wait(events, timeout=plan.startup_s, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        await end_shell(shell, plan.family)
        raise
    return command.done.result().reason if command.done.done() else None


async def end_shell(shell: Shell, family: Family) -> None:
    """End what the shell started and free it, also while being cancelled."""
    shell.retire()
    try:
        await asyncio.shield(family.end_shell(shell.pid, _END_S))
    finally:
        shell.close()


class Discard:
    """A sink for what nobody asked for."""

    def write(self, data: memoryview | bytes, /) -> None:
        """Drop it."""
