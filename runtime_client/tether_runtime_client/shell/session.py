"""A stateful shell session: commands in order, in one bash that is replaced when it ends."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Mapping
from dataclasses import replace

from ..oom_kills import FRESH_S, OomKills
from .bring_up import Plan, bring_up
from .command import CommandEnd, EndReason, OutputSink, RunningCommand, StateLost
from .config import ShellConfig
from .control import check_request
from .errors import (
    CommandRunning,
    NoForeground,
    NoRoom,
    SessionClosed,
    ShellStartError,
)
from .exports import Changes, changed_by, passable
from .family import Family
from .keys import key_bytes
from .listener import SessionListener
from .mark import VARIABLE
from .processes import foreground_names
from .run import Request, Run
from .shell import READ_PER_WAKE, Shell
from .shell_end import CLOSED, KILLED, MEMORY_RAN_OUT, RESET, ShellEnd
from .status import StatusRecord
from .succession import FormerShells, NextShell
from .terminal import check_lines

KEPT = ("working directory", "exported variables")
LOST = ("shell variables", "functions", "aliases", "options", "jobs")
_SETTLE_S, _SETTLE_STEP_S = 0.5, 0.002
_END_S = 1.0  # for the processes of a session to end
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGKILL)
_MORE = re.compile(r"[\n;&({`]|\|\|")  # where a command may have more than one program in a row
_RESET_S = 1.0  # for startup files, when the session is reset


class ShellSession:
    """One named session. Use it on one event loop; nothing in it is thread-safe.

    Order of calls: `start`, then any number of `start_command` (one at a time) with `send_input`,
    `send_key`, `interrupt` and `resize` at any time, `reset` when nothing else helps, `close` at
    the end.
    """

    def __init__(
        self,
        name: str,
        config: ShellConfig,
        *,
        listener: SessionListener,
        oom: OomKills | None = None,
    ) -> None:
        self.name = name
        self.config = config
        self.cwd = config.cwd
        self.last_status = 0
        self._listener = listener
        self._oom = oom or OomKills(None)
        self._oom_mark = 0
        self._size = (config.rows, config.cols)
        self._family = Family()
        self._shell: Shell | None = None
        self._former = FormerShells()
        self._env = {"TERM": "xterm-256color", **config.env}
        self._changes: Changes = {}
        self._queued: Request | None = None
        self._lost: StateLost | None = None
        self._restore = False
        self._next = NextShell(self._bring_up)
        self._ending = asyncio.Lock()
        self._startup_s = config.startup_timeout_s
        self._closed = False

    @property
    def pid(self) -> int:
        """The shell's process id; 0 while there is none."""
        return self._shell.pid if self._shell is not None else 0

    @property
    def running(self) -> RunningCommand | None:
        """The command that runs or waits for a new shell, if any."""
        if self._queued is not None:
            return self._queued.command
        running = self._running()
        return running[0].command if running is not None else None

    @property
    def exported(self) -> dict[str, str]:
        """The exported variables as of the last report."""
        current = self._shell.exports() if self._shell is not None else None
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
        return self._shell is not None and not self._shell.settled

    @property
    def size(self) -> tuple[int, int]:
        """The terminal's rows and columns."""
        return self._size

    @property
    def maps_newlines(self) -> bool:
        """Whether a line feed also goes to the start of the line, by the terminal's mode."""
        return self._shell is None or self._shell.terminal.maps_newlines()

    def read_output(self) -> None:
        """Take what is there of the output now; the loop would a moment later."""
        if self._shell is not None:
            self._shell.read_terminal(READ_PER_WAKE)

    @property
    def family(self) -> Family:
        """All processes that came of its shells."""
        return self._family

    @property
    def foreground_group(self) -> int:
        """The process group in front while a command runs, else 0."""
        running = self._running()
        return running[1].terminal.foreground_group() if running is not None else 0

    def foreground(self) -> list[str]:
        """Names of the processes in front: what runs, or the shell itself."""
        if self._shell is None:
            return []
        group = self._shell.terminal.foreground_group()
        return foreground_names(self._shell.pid, group) if group else []

    async def start(self) -> None:
        """Bring up the first shell and run its startup files. Twice is safe.

        Raises ShellStartError, with everything freed, and SessionClosed.
        """
        self._check_open()
        while self._shell is None:
            await self._next.wait()
            self._check_open()

    def start_command(
        self,
        command: str,
        sink: OutputSink,
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        hidden: bool = False,
    ) -> RunningCommand:
        """Hand a command to the shell at once. `cwd` and `env` hold for this command only.

        While a shell is being replaced the command waits for the new one. Raises CommandRunning,
        CommandInvalid (NUL bytes, names that are no variables) and SessionClosed; nothing was
        run then.
        """
        self._check_open()
        if (running := self.running) is not None:
            raise CommandRunning(self.name, running.command, self.pid, self.foreground())
        request = Request(RunningCommand(command, sink, hidden=hidden), cwd, env, self._changes)
        if self._shell is not None:
            self._shell.begin(request)
        else:
            check_request(command, cwd, env)
            self._queued = request
            self._next.begin()
        self._changes = {}
        self._oom_mark = self._oom.mark()  # bash is at work by now
        return request.command

    def set_env(self, changes: Changes) -> None:
        """Export variables, and unset those that are None, before the next command."""
        self._changes = {**self._changes, **changes}

    async def send_input(self, data: bytes) -> None:
        """Type into the running command's terminal.

        What the terminal cannot take yet follows as the program reads; returns at once. Raises
        NoForeground when no command runs, and InputTooLong for a line that a terminal in line
        mode would cut; nothing was typed then.
        """
        self._type(data)

    def send_key(self, key: str, *, application: bool = False) -> None:
        """Press a key: `C-c`, `C-d`, `Enter`, `Up` and so on. Raises UnknownKey, NoForeground.

        `application` is the mode of the cursor keys that the program has asked for.
        """
        data = key_bytes(key, application=application)
        running = self._running()
        if running is None:
            self._type(data)
        elif running[1].terminal.signal_of(data) == signal.SIGINT:
            self.interrupt(whole=False)
        else:
            running[1].press(running[0], data)

    def interrupt(self, signal_name: str = "SIGINT", *, whole: bool = True) -> None:
        """Signal what is in front: the command's processes, or the shell's own loop.

        After a signal that is to end it, what the command has behind that is not run, however
        the program ends (the status is 130 then, if the program's own is below 128); with
        `whole=False` the shell decides, as when a key is pressed. A command that still waits for
        a shell is not run. Raises NoForeground when nothing is in front, ValueError for an
        unknown signal.
        """
        number = _signal(signal_name)
        if self._queued is not None:
            self._refuse_queued(None, 128 + number, "interrupted")
            return
        running = self._running()
        try:
            if running is None:
                raise NoForeground(self.name)
            run, shell = running
            more = whole and number in _ENDING and _MORE.search(run.command.command) is not None
            shell.interrupt(run, number, whole=more)
        except ProcessLookupError:
            raise NoForeground(self.name) from None

    def kill(self) -> None:
        """Kill the shell that runs a command, which ends so; a fresh one takes its place."""
        running = self._running()
        if running is not None:
            running[1].process.kill()

    def resize(self, rows: int, cols: int) -> None:
        """Set the terminal's size, for later shells too; programs get SIGWINCH."""
        self._size = (rows, cols)
        if self._shell is not None:
            self._shell.terminal.resize(rows, cols)
        if (running := self._running()) is not None:
            running[1].active(running[0])

    def hold_output(self) -> None:
        """Read no output until `release_output`: programs wait once their terminal is full."""
        for shell in [*self._former, *filter(None, [self._shell])]:
            shell.process.pause_reading()

    def release_output(self) -> None:
        """Undo that. Twice is safe."""
        for shell in [*self._former, *filter(None, [self._shell])]:
            shell.process.resume_reading()

    async def reset(self) -> StateLost:
        """Kill everything the session started and bring up a fresh shell, within 3 seconds.

        The new shell is in the last directory with the last exported variables. Raises
        ShellStartError when there is no new shell to be had, SessionClosed when it is closed
        meanwhile.
        """
        self._check_open()
        lost = _lost(RESET)
        self._startup_s = min(_RESET_S, self.config.startup_timeout_s)
        try:
            await self._end_all(lost)
            self._lost = None
            await self.start()
        finally:
            self._startup_s = self.config.startup_timeout_s
        return lost

    async def close(self) -> None:
        """Kill everything the session started and free all it holds. Twice is safe."""
        if self._closed:
            return
        self._closed = True
        await self._end_all(StateLost(CLOSED.cause, CLOSED.reason, (), (*KEPT, *LOST)))

    async def _end_all(self, lost: StateLost) -> None:
        async with self._ending:
            await self._next.stop()
            self._refuse_queued(lost)
            self._give_up(lost, None)
            left = await self._family.end(_END_S)
            self._former.close()
        if left:
            pids = ", ".join(map(str, left))
            self._listener.warning(self, f"processes that could not be ended: {pids}")

    def _check_open(self) -> None:
        if self._closed:
            raise SessionClosed(self.name)

    def _running(self) -> tuple[Run, Shell] | None:
        if self._shell is None or self._shell.run is None:
            return None
        return self._shell.run, self._shell

    def _type(self, data: bytes) -> None:
        running = self._running()
        if running is not None:
            run, shell = running
            if shell.terminal.line_mode():
                check_lines(data)
            shell.type(run, data)
        elif self._queued is not None:
            check_lines(data)
            self._queued.typed.extend(data)
        else:
            raise NoForeground(self.name)

    # -- what shells tell ------------------------------------------------------------------------

    def background(self, shell: Shell, data: memoryview | bytes) -> None:
        """Called by a shell, this one or a former one."""
        self._listener.background_output(self, data)

    def warning(self, shell: Shell, message: str) -> None:
        """Called by a shell."""
        self._listener.warning(self, message)

    def finished(self, shell: Shell, run: Run, record: StatusRecord) -> None:
        """Called by a shell: a command ended, and the shell goes on."""
        reason: EndReason = "completed"
        number = record.exit_code - 128
        if number in run.signals or (record.torn and number == signal.SIGINT):
            reason = "interrupted"
        lost, kills = None, 0
        if shell is self._shell:
            lost, self._lost = self._lost, None
            kills = self._oom_kills(run.command, record.exit_code)
            self.cwd, self.last_status = shell.cwd, record.exit_code
        end = CommandEnd(record.exit_code, reason, shell.cwd, lost, oom_kills=kills)
        run.command.finish(end)

    def _oom_kills(self, command: RunningCommand, exit_code: int) -> int:
        """Looking has its price: what ended well and at once has hardly used up the memory."""
        lasted = asyncio.get_running_loop().time() - command.started
        return self._oom.since(self._oom_mark) if exit_code or lasted > FRESH_S else 0

    def over(self, shell: Shell, end: ShellEnd) -> None:
        """Called by a shell that ended or broke: the next one takes its place."""
        if shell is self._shell:
            if shell.run is not None and shell.never_ran:
                self._queued, shell.run = shell.run.request, None
            kills = self._oom.since(self._oom_mark)
            if kills and end == KILLED:
                end = MEMORY_RAN_OUT
            self._give_up(_lost(end), end.exit_code, kills)
            shell.kill()
            self._next.begin()
        elif shell.run is not None:
            shell.run.command.finish(_with_shell(_lost(end), end.exit_code, shell.cwd))

    def gone(self, shell: Shell) -> None:
        """Called by a former shell: nothing that it left behind has the terminal any more."""
        self._former.drop(shell)

    # -- shells come and go ----------------------------------------------------------------------

    def _give_up(self, lost: StateLost, exit_code: int | None, kills: int = 0) -> None:
        """Let go of the shell, keep what it knew, and say so to whoever waits."""
        shell = self._shell
        if shell is None:
            return
        self._env, self._restore = self.exported, True
        if shell.run is not None:  # it may have ended before it could report these
            self._env = changed_by(self._env, shell.run.request.exports)
        self._env, too_long = passable(self._env)
        if too_long:
            names = ", ".join(too_long[:5])
            self._listener.warning(self, f"too long for a new shell's environment: {names}")
        run, self._shell = shell.run, None
        self._former.add(shell)
        self._lost = lost if run is None else None
        self._listener.ended(self, lost)
        if run is not None:
            run.command.finish(_with_shell(lost, exit_code, self.cwd, kills))

    async def _bring_up(self) -> None:
        """Start a shell; hand it the command that waits for one, if any."""
        async with self._ending:  # what is started now would be ended too
            pass
        while self._shell is None:  # again where it ends before it can take the command
            try:
                self._shell = await self._fresh_shell()
            except ShellStartError as error:
                self._refuse_queued(_lost(ShellEnd("broken", str(error))))
                raise
            self.cwd = self._shell.cwd
            if self._queued is not None:
                request, self._queued = self._queued, None
                self._shell.begin(request)

    async def _fresh_shell(self) -> Shell:
        config = self.config
        plan = Plan(
            *(config.bash, self.cwd, self._env, self._size, self._family, config.startup),
            startup_s=self._startup_s,
            restore=self._restore,
            commands=config.commands,
        )
        try:
            return await bring_up(plan, self, self._warn)
        except NoRoom:
            raise
        except ShellStartError as error:
            if config.spare is None or config.spare == config.bash:
                raise
            self._warn(f"{error}; going on with {config.spare}")
            return await bring_up(replace(plan, bash=config.spare), self, self._warn)

    def _warn(self, text: str) -> None:
        self._listener.warning(self, text)

    def _refuse_queued(
        self, lost: StateLost | None, code: int | None = None, reason: EndReason = "session_ended"
    ) -> None:
        """The command that waits for a shell will not run: because of `lost`, or interrupted."""
        if self._queued is not None:
            command, self._queued = self._queued.command, None
            detail = lost.reason if lost is not None else "interrupted before it ran"
            command.finish(CommandEnd(code, reason, self.cwd, lost or self._lost, detail))


def _lost(end: ShellEnd) -> StateLost:
    return StateLost(end.cause, end.reason, KEPT, LOST)


def _with_shell(lost: StateLost, exit_code: int | None, cwd: str, kills: int = 0) -> CommandEnd:
    return CommandEnd(exit_code, "session_ended", cwd, lost, lost.reason, kills)


def _signal(name: str) -> signal.Signals:
    try:
        return signal.Signals[name]
    except KeyError:
        raise ValueError(f"unknown signal {name!r}; use SIGINT, SIGTERM and so on") from None
