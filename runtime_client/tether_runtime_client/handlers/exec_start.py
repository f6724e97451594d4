"""Execs that are started and connected to: streams both ways, one connection at a time."""

from __future__ import annotations

import asyncio
import logging
import shutil
import signal
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial

from ..dispatcher import Context
from ..environment import Environment
from ..execs import Attachment, StartedExec
from ..oom_kills import OomKills
from ..processes import (
    PIPE,
    LaunchOptions,
    Process,
    TerminalProcess,
    start_on_terminal,
    start_process,
    with_group,
)
from ..protocol import errors as e
from ..protocol.exec_actions import (
    ExecAttachAction,
    ExecSignalAction,
    ExecStartAction,
    ListExecsAction,
)
from ..protocol.observations import (
    DoneObservation,
    ExecAttachedObservation,
    ExecObservation,
    ListExecsObservation,
)
from ..settings import ClientSettings
from ..shell import BashChoice
from ..shell.family import Family
from ..shell.mark import VARIABLE
from ..tickets import Tickets
from . import registry
from .exec import END_S, Execs, end_of, start_errors
from .signals import signal_number

DEFAULT_TERM = "xterm-256color"

ENDED_KEPT = 256
"""How many ended execs are remembered, so that callers find what they have not read."""

HELD_LIMIT = 64 * 1024 * 1024
"""The most bytes of their output that wait in memory; past it the oldest is forgotten."""

log = logging.getLogger(__name__)


class StartedExecs:
    """Handles `ExecStartAction`, `ExecAttachAction` and `ListExecsAction`."""

    def __init__(
        self,
        execs: Execs,
        tickets: Tickets,
        settings: ClientSettings,
        environment: Environment,
        bash: BashChoice,
        oom: OomKills,
    ) -> None:
        self._execs = execs
        self._tickets = tickets
        self._environment = environment
        self._oom = oom
        self._folder = settings.state / "output"
        self._registry = str(settings.state / "sessions")
        self._bash = bash
        self._running: dict[str, StartedExec] = {}
        self._ended: OrderedDict[str, StartedExec] = OrderedDict()
        self._serving: set[asyncio.Task[None]] = set()

    async def start(self, action: ExecStartAction, context: Context) -> ExecObservation:
        """Run it to its end. Whoever connects meanwhile waits until it has begun."""
        one = StartedExec(context.action_id, action, self._folder)
        self._running[one.id] = one
        try:
            return await self._run(one)
        except BaseException as problem:
            if not one.ready.done():
                one.ready.set_exception(_start_failed(problem))
                one.ready.exception()  # nobody need have asked to connect
            raise
        finally:
            del self._running[one.id]

    async def attach(self, action: ExecAttachAction, _: Context) -> ExecAttachedObservation:
        """Give out a ticket; what is behind it is served until the caller goes."""
        one = self._running.get(action.target_id) or self._ended.get(action.target_id)
        if one is None:
            raise e.NoSuchProcess(
                f"no exec with the id {action.target_id!r} is running, or has ended lately",
                hint="`runtime.processes()` and `tether exec NAME --list` tell which there are",
            )
        await asyncio.shield(one.ready)
        attachment = one.attach(action.stdout, action.stderr)
        ticket = self._tickets.issue()
        serving = asyncio.create_task(self._serve(one, attachment, ticket))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)
        return ExecAttachedObservation(
            ticket=ticket, exec=one.entry, stdin=one.feeder.received, **attachment.begins
        )

    async def signal(self, action: ExecSignalAction, context: Context) -> DoneObservation:
        """Signal the process group of a running exec, of either kind."""
        one = self._running.get(action.target_id)
        if one is None or one.process is None:
            return await self._execs.signal(action, context)
        one.process.signal(signal_number(action.signal))
        return DoneObservation()

    async def list_all(self, _: ListExecsAction, __: Context) -> ListExecsObservation:
        """The newest ended ones, then what runs."""
        found = [*self._ended.values(), *(one for one in self._running.values() if one.process)]
        return ListExecsObservation(execs=tuple(one.entry for one in found))

    async def _serve(self, one: StartedExec, attachment: Attachment, ticket: str) -> None:
        try:
            with suppress(e.TransferError):  # nobody came with the ticket
                await attachment.serve(await self._tickets.redeemed(ticket))
        except Exception:
            log.exception("the connection to exec %s failed", one.id)
        finally:
            one.detach(attachment)

    async def _run(self, one: StartedExec) -> ExecObservation:
        mark = self._oom.mark()
        with start_errors():
            command, shell = await self._command(one.action)
            process = self._start(one, command, shell)
        one.begin(process)
        feeding = asyncio.create_task(_feed(one, process))
        try:
            registry.note(self._registry, process.pid)
            status, timed_out = await end_of(process, one.action.timeout_s)
        finally:
            registry.forget(self._registry, process.pid)
            feeding.cancel()
            one.feeder.closed = True
            await _end_terminal(one, process)
        oom_kills = self._oom.since(mark) if status.exit_code else 0
        end = one.finish(status, timed_out=timed_out, oom_kills=oom_kills)
        self._remember(one)
        return end

    def _remember(self, one: StartedExec) -> None:
        self._ended[one.id] = one
        held = sum(each.held for each in self._ended.values())
        while len(self._ended) > ENDED_KEPT or (held > HELD_LIMIT and len(self._ended) > 1):
            _, oldest = self._ended.popitem(last=False)
            held -= oldest.held

    async def _command(self, action: ExecStartAction) -> tuple[Sequence[str] | str, Sequence[str]]:
        if action.command is not None:
            return action.command, await self._execs.shell.argv()
        return action.argv or self._login_shell(), ()

    def _login_shell(self) -> tuple[str, ...]:
        shell = self._bash.path or shutil.which("sh")
        if not shell:
            raise e.NoShell("there is neither a bash nor a sh for a login shell")
        return (shell, "-l")

    def _start(
        self, one: StartedExec, command: Sequence[str] | str, shell: Sequence[str]
    ) -> Process:
        action = one.action
        how = LaunchOptions(
            env=self._environment_of(action),
            cwd=action.cwd,
            user=with_group(action.user, action.group),
            umask=action.umask,
            nice=action.nice,
            shell=shell,
        )
        if not action.tty:
            return start_process(
                command, one.on_output, stdin=PIPE if action.stdin else None, **how
            )
        return _on_terminal(one, command, how)

    def _environment_of(self, action: ExecStartAction) -> Mapping[str, str]:
        own = action.env or {}
        if action.tty:
            return {**self._environment.of_people, "TERM": DEFAULT_TERM, **own}
        return {**self._environment.of_commands, **own}


def _on_terminal(
    one: StartedExec, command: Sequence[str] | str, how: LaunchOptions
) -> TerminalProcess:
    """Marked, so that all that comes of it can be told: shells make their jobs groups."""
    family = one.family = Family()
    how["env"] = {**(how["env"] or {}), VARIABLE: family.mark.value}
    on_output = partial(one.on_output, "stdout")
    size = one.action.rows, one.action.cols
    process = start_on_terminal(command, on_output, size=size, in_child=family.mark.put_on, **how)
    family.add(process.pid)
    return process


async def _end_terminal(one: StartedExec, process: Process) -> None:
    """A terminal whose process was killed leaves nothing; one that ended leaves what it will."""
    status = process.status
    if one.family is not None and (status is None or status.signal == signal.SIGKILL):
        await one.family.end(END_S)


async def _feed(one: StartedExec, process: Process) -> None:
    if one.action.stdin or one.action.tty:
        await one.feeder.run(process)
    else:
        one.feeder.closed = True


def _start_failed(problem: BaseException) -> Exception:
    if isinstance(problem, e.TetherError):
        return problem
    return e.NoSuchProcess(f"the exec was not started: {problem!r}")
