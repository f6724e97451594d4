"""A stateful shell session: commands in order, in one bash that is replaced when it ends."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping

from ..oom_kills import FRESH_S, OomKills
from .command import CommandEnd, OutputSink, RunningCommand, StateLost
from .config import ShellConfig
from .errors import CommandRunning, NoForeground, SessionClosed
from .exports import Changes
from .family import Family
from .keys import key_bytes
from .listener import SessionListener
from .processes import foreground_names
from .run import Request, Run
from .shell import Shell
from .shell_end import CLOSED, KILLED, MEMORY_RAN_OUT, RESET, ShellEnd
from .status import StatusRecord
from .succession import KEPT, LOST, Succession, state_lost
from .terminal import READ_PER_WAKE, check_lines

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
        self.last_status = 0
        self._listener = listener
        self._oom = oom or OomKills(None)
        self._oom_mark = 0
        self._shells = Succession(config, self, self._warn, self._ended)
        self._changes: Changes = {}
        self._closed = False

    @property
    def pid(self) -> int:
        """The shell's process id; 0 while there is none."""
        shell = self._shells.current
        return shell.pid if shell is not None else 0

    @property
    def cwd(self) -> str:
        """The working directory as of the last report."""
        return self._shells.cwd

    @property
    def running(self) -> RunningCommand | None:
        """The command that runs or waits for a new shell, if any."""
        if self._shells.queued is not None:
            return self._shells.queued.command
        running = self._shells.running
        return running[0].command if running is not None else None

    @property
    def exported(self) -> dict[str, str]:
        """The exported variables as of the last report."""
        return self._shells.exported

    async def settle(self) -> None:
        """Return when `exported` is of the last command that ended: at once, or a moment later."""
        await self._shells.settle()

    @property
    def size(self) -> tuple[int, int]:
        """The terminal's rows and columns."""
        return self._shells.size

    @property
    def maps_newlines(self) -> bool:
        """Whether a line feed also goes to the start of the line, by the terminal's mode."""
        shell = self._shells.current
        return shell is None or shell.terminal.maps_newlines()

    def read_output(self) -> None:
        """Take what is there of the output now; the loop would a moment later."""
        if self._shells.current is not None:
            self._shells.current.read_terminal(READ_PER_WAKE)

    @property
    def family(self) -> Family:
        """All processes that came of its shells."""
        return self._shells.family

    @property
    def foreground_group(self) -> int:
        """The process group in front while a command runs, else 0."""
        running = self._shells.running
        return running[1].terminal.foreground_group() if running is not None else 0

    def foreground(self) -> list[str]:
        """Names of the processes in front: what runs, or the shell itself."""
        shell = self._shells.current
        if shell is None:
            return []
        group = shell.terminal.foreground_group()
        return foreground_names(shell.pid, group) if group else []

    async def start(self) -> None:
        """Bring up the first shell and run its startup files. Twice is safe.

        Raises ShellStartError, with everything freed, and SessionClosed.
        """
        self._check_open()
        while self._shells.current is None:
            await self._shells.next()
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
        shell = self._shells.current
        if shell is not None:
            shell.begin(request)
        else:
            self._shells.queue(request)
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
        running = self._shells.running
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
        if self._shells.queued is not None:
            self._shells.refuse_queued(None, 128 + number, "interrupted")
            return
        running = self._shells.running
        try:
            if running is None:
                raise NoForeground(self.name)
            run, shell = running
            shell.interrupt(run, number, whole=whole and run.may_go_on_after(number))
        except ProcessLookupError:
            raise NoForeground(self.name) from None

    def kill(self) -> None:
        """Kill the shell that runs a command, which ends so; a fresh one takes its place."""
        running = self._shells.running
        if running is not None:
            running[1].process.kill()

    def resize(self, rows: int, cols: int) -> None:
        """Set the terminal's size, for later shells too; programs get SIGWINCH."""
        self._shells.size = (rows, cols)
        if self._shells.current is not None:
            self._shells.current.terminal.resize(rows, cols)
        if (running := self._shells.running) is not None:
            running[1].active(running[0])

    def hold_output(self) -> None:
        """Read no output until `release_output`: programs wait once their terminal is full."""
        for shell in self._shells:
            shell.process.pause_reading()

    def release_output(self) -> None:
        """Undo that. Twice is safe."""
        for shell in self._shells:
            shell.process.resume_reading()

    async def reset(self) -> StateLost:
        """Kill everything the session started and bring up a fresh shell, within 3 seconds.

        The new shell is in the last directory with the last exported variables. Raises
        ShellStartError when there is no new shell to be had, SessionClosed when it is closed
        meanwhile.
        """
        self._check_open()
        lost = state_lost(RESET)
        self._shells.startup_s = min(_RESET_S, self.config.startup_timeout_s)
        try:
            await self._shells.end(lost)
            self._shells.lost = None
            await self.start()
        finally:
            self._shells.startup_s = self.config.startup_timeout_s
        return lost

    async def close(self) -> None:
        """Kill everything the session started and free all it holds. Twice is safe."""
        if self._closed:
            return
        self._closed = True
        await self._shells.end(StateLost(CLOSED.cause, CLOSED.reason, (), (*KEPT, *LOST)))

    def _check_open(self) -> None:
        if self._closed:
            raise SessionClosed(self.name)

    def _type(self, data: bytes) -> None:
        running = self._shells.running
        if running is not None:
            run, shell = running
            if shell.terminal.line_mode():
                check_lines(data)
            shell.type(run, data)
        elif self._shells.queued is not None:
            check_lines(data)
            self._shells.queued.typed.extend(data)
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
        lost, kills = None, 0
        shells = self._shells
        if shell is shells.current:
            lost, shells.lost = shells.lost, None
            kills = self._oom_kills(run.command, record.exit_code)
            shells.cwd, self.last_status = shell.cwd, record.exit_code
        reason = run.reason(record)
        end = CommandEnd(record.exit_code, reason, shell.cwd, lost, oom_kills=kills)
        run.command.finish(end)

    def _oom_kills(self, command: RunningCommand, exit_code: int) -> int:
        """Looking has its price: what ended well and at once has hardly used up the memory."""
        lasted = asyncio.get_running_loop().time() - command.started
        return self._oom.since(self._oom_mark) if exit_code or lasted > FRESH_S else 0

    def over(self, shell: Shell, end: ShellEnd) -> None:
        """Called by a shell that ended or broke: the next one takes its place."""
        kills = self._oom.since(self._oom_mark) if shell is self._shells.current else 0
        if kills and end == KILLED:
            end = MEMORY_RAN_OUT
        self._shells.over(shell, end, kills)

    def gone(self, shell: Shell) -> None:
        """Called by a former shell: nothing that it left behind has the terminal any more."""
        self._shells.gone(shell)

    # -- what is told of them all -----------------------------------------------------------------

    def _warn(self, text: str) -> None:
        self._listener.warning(self, text)

    def _ended(self, lost: StateLost) -> None:
        self._listener.ended(self, lost)


def _signal(name: str) -> signal.Signals:
    try:
        return signal.Signals[name]
    except KeyError:
        raise ValueError(f"unknown signal {name!r}; use SIGINT, SIGTERM and so on") from None
