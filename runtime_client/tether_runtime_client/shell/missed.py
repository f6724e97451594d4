"""Which processes should have had a signal that was given before, and have not.

The shell may still begin something before it heeds an interrupt, and forget a child on its way
back to its prompt; a fork forgets what it was sent with the shell's handlers when it becomes a
program.
"""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass
from itertools import islice

from ..proctree import Process, read_process
from .processes import family, signal_actions

_QUIT = 1 << signal.SIGQUIT - 1
MOST = 50  # processes that are looked at


@dataclass(frozen=True, slots=True)
class Signalled:
    """A signal that is given now: to which group in front, and which processes there are.

    With `final` nothing that begins later is to run. `at` is a time of the monotonic clock, in
    seconds; `images` are those of the processes, and `groups` are all of theirs.
    """

    number: int
    final: bool
    front: int
    at: float
    bash: Process
    images: dict[int, int]
    groups: frozenset[int]

    @classmethod
    def now(cls, number: int, bash: int, front: int, *, final: bool) -> Signalled:
        """Raises ProcessLookupError where the shell has ended."""
        found = list(islice(family(bash), MOST))
        if not found or found[0].pid != bash:
            raise ProcessLookupError(f"the shell {bash} has ended")
        images = {process.pid: process.image for process in found}
        groups = frozenset(process.group for process in found)
        return cls(number, final, front, time.monotonic(), found[0], images, groups)

    def missed(self, front: int) -> list[Process]:
        """What should have had it, where `front` is the group in front by now.

        What is still starting is not among it: it would forget the signal again.
        """
        groups, missed = {front, self.front}, dict[int, Process]()
        for process in islice(family(self.bash.pid), MOST):  # parents come first
            if process.alive and self._has_missed(process, groups, missed):
                missed[process.pid] = process
        return [process for process in missed.values() if not is_starting(process, self.bash)]

    def _has_missed(self, process: Process, groups: set[int], missed: dict[int, Process]) -> bool:
        if process.group not in groups:
            return self.final and self.is_later_child(process)
        if process.pid in self.images:
            return self.is_program_since(process)
        if process.ppid in missed:
            return True
        parent = read_process(process.ppid) if self.final else None
        return parent is not None and parent.image == self.bash.image

    def left(self, children: list[Process]) -> list[Process]:
        """Those of the shell's children that it has forgotten, where it gave up the command."""
        return [
            child
            for child in children
            if child.alive
            and (
                self.is_later_child(child)
                or (self._was_front(child) and self.is_program_since(child))
            )
        ]

    def is_program_since(self, process: Process) -> bool:
        """Whether it was a fork of the shell when it got the signal."""
        return self.images.get(process.pid) == self.bash.image != process.image

    def is_later_child(self, process: Process) -> bool:
        """Whether the shell has begun it since. What a job in the background has left to the
        shell, as the parent of orphans, is in that one's group, or in a kernel session of its own.
        """
        if process.pid in self.images or process.ppid != self.bash.pid:
            return False
        ours = self._was_front(process) or process.group not in self.groups
        return process.sid == self.bash.sid and ours

    def _was_front(self, process: Process) -> bool:
        """Whether it is in the group that was in front, or in the shell's own: no job's."""
        return process.group in (self.front, self.bash.group)


def is_starting(process: Process, bash: Process) -> bool:
    """Whether it is a fork of the shell that does with signals what the shell does still.

    A part of a pipeline may go on to catch what the shell catches, but not to ignore SIGQUIT.
    """
    if process.ppid != bash.pid or process.image != bash.image:
        return False
    ignored, caught = signal_actions(process.pid)
    return bool(ignored & _QUIT) and caught == signal_actions(bash.pid)[1]
