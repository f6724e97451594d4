"""What runs in the shell sessions: listed, and signalled by pid."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..aside import aside
from ..dispatcher import Context
from ..proctree import Process, read_process, send, snapshot
from ..protocol import actions as a
from ..protocol import errors as e
from ..protocol.observations import (
    DoneObservation,
    ListProcessesObservation,
    ProcessEntry,
    ProcessState,
)
from .session import Session
from .shell import Sessions
from .signals import signal_number

_TOLD = 4096  # bytes of a process's arguments
_SAME_S = 1.0  # how far the same start may be apart, since clocks are set
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_STATES: dict[str, ProcessState] = {"R": "running", "D": "uninterruptible"}
_STATES |= {"T": "stopped", "t": "stopped"}


@dataclass(frozen=True, slots=True)
class Found:
    """A process, the session it came of, and all others of that session."""

    process: Process
    session: Session
    others: Mapping[int, Process]


class Processes:
    """Handles `ListProcessesAction` and `ProcessSignalAction`."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def list_all(self, action: a.ListProcessesAction, _: Context) -> ListProcessesObservation:
        """Everything that came of the sessions' shells, but not the shells."""
        found = await self._find(action.session)
        found.sort(key=lambda one: one.process.key[::-1])
        entries = tuple(map(_entry, found[: action.limit]))
        return ListProcessesObservation(processes=entries, total=len(found))

    async def signal(self, action: a.ProcessSignalAction, _: Context) -> DoneObservation:
        """To a process, or to its group as far as that is of the same session."""
        number = signal_number(action.signal)
        for one in await self._find(None):
            if one.process.pid == action.pid and _is_meant(one.process, action.started):
                _send(one, number, whole_group=action.whole_group)
                return DoneObservation()
        raise e.NoSuchProcess(
            f"no process {action.pid} runs in a session",
            hint="ListProcessesAction tells which there are; a shell itself is ended by a reset",
        )

    async def _find(self, name: str | None) -> list[Found]:
        """It reads about every process there is, so it is done in a thread."""
        sessions = self._sessions.all() if name is None else [self._sessions.existing(name)]
        return await aside(lambda: list(_found(sessions)))


def _found(sessions: list[Session]) -> Iterator[Found]:
    processes = snapshot()
    for session in sessions:
        family = session.shell.family
        of_it = {one.pid: one for one in family.find(processes) if one.alive}
        others = {pid: one for pid, one in of_it.items() if not family.is_shell(one)}
        yield from (Found(one, session, others) for one in others.values())
        processes = {pid: one for pid, one in processes.items() if pid not in of_it}


def _is_meant(process: Process, started: float | None) -> bool:
    return started is None or abs(_since_1970(process) - started) < _SAME_S


def _send(found: Found, number: signal.Signals, *, whole_group: bool) -> None:
    group = found.process.group
    targets = [found.process]
    if whole_group:
        targets = [one for one in found.others.values() if one.group == group]
    sent = [send(target, number) for target in targets]
    if not any(sent) and read_process(found.process.pid) is not None:
        raise e.SignalRefused(
            f"process {found.process.pid} may not be signalled: it is another user's",
            hint="Signal it from a shell of that user, or of root",
        )


def _entry(found: Found) -> ProcessEntry:
    process, session = found.process, found.session
    return ProcessEntry(
        pid=process.pid,
        parent=process.ppid,
        group=process.group,
        name=_read(process.pid, "comm").decode("utf-8", "replace").rstrip("\n"),
        argv=_arguments(process.pid),
        state=_STATES.get(process.state, "sleeping"),
        session=session.shell.name,
        action_id=session.times.at(_origin(found).started * _TICK_S, _TICK_S),
        started=round(_since_1970(process), 2),
        foreground=process.group == session.shell.foreground_group,
    )


def _origin(found: Found) -> Process:
    """What a shell started, as far as the way up to it can still be told."""
    process = found.process
    while (parent := found.others.get(process.ppid)) is not None:
        process = parent
    return process


def _arguments(pid: int) -> tuple[str, ...]:
    words = _read(pid, "cmdline").split(b"\0")
    return tuple(word.decode("utf-8", "replace") for word in words[: -1 or None] if words)


def _read(pid: int, name: str) -> bytes:
    try:
        with open(f"/proc/{pid}/{name}", "rb", buffering=0) as file:
            return file.read(_TOLD)
    except OSError:  # it is gone
        return b""


def _since_1970(process: Process) -> float:
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return booted + process.started * _TICK_S
