"""One shell follows another: the one there is, the start of the next, and what is kept of the
former ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from typing import Any

from .bring_up import Plan, bring_up
from .command import CommandEnd, EndReason, StateLost
from .config import ShellConfig
from .control import check_request
from .errors import NoMeans, ShellStartError
from .exports import changed_by, passable
from .family import Family
from .mark import VARIABLE
from .run import Request, Run
from .shell import Shell, ShellOwner
from .shell_end import ShellEnd

KEPT = ("working directory", "exported variables")
LOST = ("shell variables", "functions", "aliases", "options", "jobs")
_MOST = 16
_END_S = 1.0  # for the processes of a session to end
_SETTLE_S, _SETTLE_STEP_S = 0.5, 0.002


class Succession:
    """The shells of one session. Shells tell `owner` what happens to them, which passes their
    ends on to `over` and `gone`.

    `warn` is told what is odd, `ended` that a shell was given up. `current` is the one there is,
    `queued` the command that waits for the next one, `lost` what the next command is to be told
    of a shell that ended since the last. `size` (rows, columns) and `startup_s` (seconds for the
    startup files) hold for later shells.
    """

    def __init__(
        self,
        config: ShellConfig,
        owner: ShellOwner,
        warn: Callable[[str], None],
        ended: Callable[[StateLost], None],
    ) -> None:
        self._config = config
        self._owner = owner
        self._warn = warn
        self._ended = ended
        self.current: Shell | None = None
        self.queued: Request | None = None
        self.lost: StateLost | None = None
        self.cwd = config.cwd
        self.size = (config.rows, config.cols)
        self.startup_s = config.startup_timeout_s
        self.family = Family()
        self._env = {"TERM": "xterm-256color", **config.env}
        self._had: set[str] = set()
        self._restore = False
        self._former = FormerShells()
        self._next = NextShell(self._bring_up)
        self._ending = asyncio.Lock()

    def __iter__(self) -> Iterator[Shell]:
        """Each whose terminal is still open."""
        yield from tuple(self._former)
        if self.current is not None:
            yield self.current

    @property
    def running(self) -> tuple[Run, Shell] | None:
        """What runs, and the shell that runs it."""
        shell = self.current
        return None if shell is None or shell.run is None else (shell.run, shell)

    @property
    def exported(self) -> dict[str, str]:
        """The exported variables as of the last report."""
        current = self.current.exports() if self.current is not None else None
        found = dict(self._env if current is None else current)
        found.pop(VARIABLE, None)
        return found

    async def settle(self) -> None:
        """Return when `exported` is of the last command that ended: at once, or a moment later.

        The shell writes it into memory, of whose changes the kernel tells nobody. Where it never
        comes (an interrupt may end it), what there was before holds.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _SETTLE_S
        while self._unsettled and loop.time() < deadline:  # noqa: ASYNC110  nothing tells of it
            await asyncio.sleep(_SETTLE_STEP_S)

    @property
    def _unsettled(self) -> bool:
        return self.current is not None and not self.current.settled

    def queue(self, request: Request) -> None:
        """Have the next shell run it, and start that one. Raises CommandInvalid."""
        check_request(request.command.command, request.cwd, request.env)
        self.queued = request
        self._next.begin()

    def refuse_queued(
        self, lost: StateLost | None, code: int | None = None, reason: EndReason = "session_ended"
    ) -> None:
        """The command that waits for a shell will not run: because of `lost`, or interrupted."""
        if self.queued is not None:
            command, self.queued = self.queued.command, None
            detail = lost.reason if lost is not None else "interrupted before it ran"
            command.finish(CommandEnd(code, reason, self.cwd, lost or self.lost, detail))

    async def next(self) -> None:
        """Start the next shell, and return when that is over. Raises ShellStartError."""
        await self._next.wait()

    async def end(self, lost: StateLost) -> None:
        """End every process that came of its shells. Twice is safe."""
        async with self._ending:
            await self._next.stop()
            self.refuse_queued(lost)
            self._give_up(lost, None)
            left = await self.family.end(_END_S)
            self._former.close()
        if left:
            pids = ", ".join(map(str, left))
            self._warn(f"processes that could not be ended: {pids}")

    def over(self, shell: Shell, end: ShellEnd, kills: int = 0) -> None:
        """A shell ended or broke: the next one takes its place.

        `kills` counts the processes that were killed meanwhile because memory ran out.
        """
        if shell is self.current:
            if shell.run is not None and shell.never_ran:
                self.queued, shell.run = shell.run.request, None
            self._give_up(state_lost(end), end.exit_code, kills)
            shell.kill()
            self._next.begin()
        elif shell.run is not None:
            shell.run.command.finish(_with_shell(state_lost(end), end.exit_code, shell.cwd))

    def gone(self, shell: Shell) -> None:
        """Nothing that a former shell left behind has the terminal any more."""
        self._former.drop(shell)

    def _give_up(self, lost: StateLost, exit_code: int | None, kills: int = 0) -> None:
        """Let go of the shell, keep what it knew, and say so to whoever waits."""
        shell = self.current
        if shell is None:
            return
        self._env, self._restore = self.exported, True
        self._had |= shell.had
        if shell.run is not None:  # it may have ended before it could report these
            self._env = changed_by(self._env, shell.run.request.exports)
        self._env, too_long = passable(self._env)
        if too_long:
            names = ", ".join(too_long[:5])
            self._warn(f"too long for a new shell's environment: {names}")
        run, self.current = shell.run, None
        self._former.add(shell)
        self.lost = lost if run is None else None
        self._ended(lost)
        if run is not None:
            run.command.finish(_with_shell(lost, exit_code, self.cwd, kills))

    async def _bring_up(self) -> None:
        """Start a shell; hand it the command that waits for one, if any."""
        async with self._ending:  # what is started now would be ended too
            pass
        while self.current is None:  # again where it ends before it can take the command
            try:
                self.current = await self._fresh_shell()
            except ShellStartError as error:
                self.refuse_queued(state_lost(ShellEnd("broken", str(error))))
                raise
            self.cwd = self.current.cwd
            if self.queued is not None:
                request, self.queued = self.queued, None
                self.current.begin(request)

    async def _fresh_shell(self) -> Shell:
        config = self._config
        plan = Plan(
            *(config.bash, self.cwd, self._env, self.size, self.family, config.startup),
            startup_s=self.startup_s,
            restore=self._restore,
            commands=config.commands,
            gone=frozenset(self._had - self._env.keys()),
        )
        try:
            return await bring_up(plan, self._owner, self._warn)
        except NoMeans:
            raise
        except ShellStartError as error:
            if config.spare is None or config.spare == config.bash:
                raise
            self._warn(f"{error}; going on with {config.spare}")
            return await bring_up(replace(plan, bash=config.spare), self._owner, self._warn)


class FormerShells:
    """Shells that were replaced: their terminals stay open for what they left running."""

    def __init__(self) -> None:
        self._shells: list[Shell] = []

    def __iter__(self) -> Iterator[Shell]:
        return iter(self._shells)

    def add(self, shell: Shell) -> None:
        """Keep a shell that gets no more commands; the oldest of too many is closed."""
        shell.retire()
        self._shells.append(shell)
        if len(self._shells) > _MOST:
            self._shells.pop(0).close()

    def drop(self, shell: Shell) -> None:
        """Close one that nobody has the terminal of any more. Twice is safe."""
        if shell in self._shells:
            self._shells.remove(shell)
            shell.close()

    def close(self) -> None:
        """Close them all. Twice is safe."""
        while self._shells:
            self._shells.pop().close()


class NextShell:
    """The start of a shell, by `start`, in a task of its own: at most one at a time."""

    def __init__(self, start: Callable[[], Coroutine[Any, Any, object]]) -> None:
        self._start = start
        self._task: asyncio.Task[object] | None = None

    def begin(self) -> asyncio.Task[object]:
        """Start one, unless one is being started; returns the task."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._start())
            self._task.add_done_callback(_look_at)
        return self._task

    async def wait(self) -> None:
        """Begin, and return when it is over, also when it was stopped; raises what it raised."""
        task, current = self.begin(), asyncio.current_task()
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.cancelled() or (current is not None and current.cancelling()):
                raise

    async def stop(self) -> None:
        """End what is being started. Twice is safe."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])


def _look_at(task: asyncio.Task[object]) -> None:
    """A start that failed is tried again with the next command, which tells its error."""
    if not task.cancelled():
        task.exception()


def state_lost(end: ShellEnd) -> StateLost:
    """What the end of a shell costs: the next one has the rest."""
    return StateLost(end.cause, end.reason, KEPT, LOST)


def _with_shell(lost: StateLost, exit_code: int | None, cwd: str, kills: int = 0) -> CommandEnd:
    return CommandEnd(exit_code, "session_ended", cwd, lost, lost.reason, kills)
