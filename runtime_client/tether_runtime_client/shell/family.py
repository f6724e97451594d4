"""All processes that came of a session's shells, whatever they did to be on their own.

A process is one of them when it descends from a shell (which is made the parent of the orphans
below it), is in a shell's kernel session, or carries the session's mark. `setsid`, double forks,
`nohup`, closed descriptors, an empty environment, another user: each leaves some of these signs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from ..aside import aside
from ..proctree import Process, descendants, read_process
from ..session_registry import members
from .ending import Ending
from .mark import Mark

_SHELLS = 64  # the newest, whose kernel sessions are known; the mark tells of all


class Family:
    """The processes of one session. `add` every shell. Finding and ending may take a while."""

    def __init__(self) -> None:
        self.mark = Mark.new()
        self._shells: dict[int, int] = {}
        #: When the first shell started. Nothing that is older can have come of one: it need not
        #: be looked at for the mark, which takes half the time of a reset where much is running.
        self._began: int | None = None

    def add(self, shell: int) -> None:
        """A shell that was started with the mark, and was not collected yet."""
        process = read_process(shell)
        if process is not None:
            self._shells.pop(shell, None)
            self._shells[shell] = process.started
            self._began = self._began or process.started
            if len(self._shells) > _SHELLS:
                del self._shells[next(iter(self._shells))]

    def is_shell(self, process: Process) -> bool:
        """Whether it is one of the shells themselves."""
        return self._shells.get(process.pid) == process.started

    def shells(self) -> list[Process]:
        """The shells that live."""
        found = map(read_process, self._shells)
        return [one for one in found if one is not None and self.is_shell(one) and one.alive]

    def find(self, processes: Mapping[int, Process]) -> list[Process]:
        """Those of a snapshot that belong to it, the shells and what has ended included."""
        found = _below(members(dict(self._shells), processes), processes)
        others = [one for pid, one in processes.items() if pid not in found and self._is_young(one)]
        marked = [one for one in others if one.alive and self.mark.is_on(one.pid)]
        return list((found | _below(marked, processes)).values())

    def _is_young(self, process: Process) -> bool:
        return self._began is not None and process.started >= self._began

    async def end(self, limit_s: float, *, ask_shells: bool = False) -> list[int]:
        """End all of it: SIGHUP and SIGTERM, then SIGKILL; returns the pids that outlived that.

        A shell is killed when nothing else is left, unless it is to be asked as the others are.
        A process in an uninterruptible call can, and one of a user whom we may not signal.
        Zombies are not waited for: their parents collect them. Twice is safe.
        """
        shells = [] if ask_shells else self.shells()
        return await aside(Ending(self.find, shells, limit_s).run)

    async def end_shell(self, shell: int, limit_s: float) -> list[int]:
        """The same for one of its shells and what descends from that; what else there is stays."""
        leader = {pid: started for pid, started in self._shells.items() if pid == shell}
        shells = [process for process in self.shells() if process.pid == shell]

        def find(processes: Mapping[int, Process]) -> list[Process]:
            return list(_below(members(leader, processes), processes).values())

        return await aside(Ending(find, shells, limit_s).run)


def _below(tops: Iterable[Process], processes: Mapping[int, Process]) -> dict[int, Process]:
    """These and all that descends from them, but never this process."""
    found = {process.pid: process for process in tops}
    found |= {one.pid: one for one in descendants(list(found), processes, spare=(os.getpid(),))}
    found.pop(os.getpid(), None)
    return found
