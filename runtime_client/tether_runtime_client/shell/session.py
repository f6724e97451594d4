"""A stateful shell session: commands in order, in one bash that is replaced when it ends."""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from .command import CommandEnd, EndReason, OutputSink, RunningCommand, StateLost
from .control import Carried
from .errors import (
    CommandInvalid,
    CommandRunning,
    InputTooLong,
    NoForeground,
    SessionClosed,
    ShellStartError,
)
from .exports import parse_exports
from .keys import key_bytes
from .processes import end_session, foreground_names
from .shell_process import ShellProcess
from .status import StatusParser, StatusRecord
from .terminal import LINE_LIMIT

_READ_PER_WAKE = 256 * 1024  # then other sessions get their turn
_DRAIN_LIMIT = 256 * 1024  # after a report
_END_S = 1.5
_KEPT = ("working directory", "exported variables")
_LOST = ("shell variables", "functions", "aliases", "options", "jobs")

Startup = Literal["bashrc", "profile", "none"]


@dataclass(frozen=True, slots=True)
class ShellConfig:
    """How to start a session's shells.

    `bash` is a path, `env` the whole environment of the shell and its programs, `startup` which
    files run first, for at most `startup_timeout_s` seconds; the terminal has `rows` and `cols`.
    """

    bash: str
    cwd: str
    env: Mapping[str, str]
    startup: Startup = "bashrc"
    startup_timeout_s: float = 10.0
    rows: int = 24
    cols: int = 200


class SessionListener(Protocol):
    """Told about what belongs to no command. Called on the loop; must not block."""

    def background_output(self, session: ShellSession, data: memoryview | bytes, /) -> None:
        """Output that came while no command ran. Copy what is kept."""

    def warning(self, session: ShellSession, message: str, /) -> None:
        """Something odd that was dealt with: a forged report, a startup file that failed."""

    def ended(self, session: ShellSession, lost: StateLost, /) -> None:
        """The shell ended or was given up; a new one takes its place."""


@dataclass(slots=True)
class _Run:
    """One command in one shell: what was sent for it and what came back."""

    command: RunningCommand
    nonce: bytes
    mailbox: int
    back: str | None
    repeats: int = 0
    result: StatusRecord | None = None
    typed: bool = False
    signals: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Request:
    command: RunningCommand
    cwd: str | None
    env: Mapping[str, str] | None


class _Discard:
    def write(self, data: memoryview | bytes, /) -> None:
        """Drop the output of a shell that is being set up."""


class ShellSession:
    """One named session. Use it on one event loop; nothing in it is thread-safe.

    Order of calls: `start`, then any number of `start_command` (one at a time) with `send_input`,
    `send_key`, `interrupt` and `resize` at any time, `reset` when nothing else helps, `close` at
    the end.
    """

    def __init__(self, name: str, config: ShellConfig, *, listener: SessionListener) -> None:
        self.name = name
        self.config = config
        self.cwd = config.cwd
        self.last_status = 0
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._size = (config.rows, config.cols)
        self._shell: ShellProcess | None = None
        self._former: list[ShellProcess] = []
        self._parser = StatusParser()
        self._carried = Carried()
        self._exports: dict[str, str] | None = None
        self._mailbox: tuple[int, bytes] | None = None
        self._run: _Run | None = None
        self._queued: _Request | None = None
        self._lost: StateLost | None = None
        self._bringing_up: asyncio.Task[None] | None = None
        self._ready = False
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
        return self._run.command if self._run is not None and self._ready else None

    @property
    def exported(self) -> dict[str, str]:
        """The exported variables as of the last report."""
        return dict(self._last_exports())

    def foreground(self) -> list[str]:
        """Names of the processes in front: what runs, or the shell itself."""
        group = self._shell.terminal.foreground_group() if self._shell is not None else 0
        return foreground_names(group) if group else []

    async def start(self) -> None:
        """Bring up the first shell and run its startup files. Twice is safe.

        Raises ShellStartError, with everything freed, and SessionClosed.
        """
        if self._closed:
            raise SessionClosed(self.name)
        if self._ready:
            return
        self._begin_bringing_up()
        assert self._bringing_up is not None
        await asyncio.shield(self._bringing_up)

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
        if self._closed:
            raise SessionClosed(self.name)
        if (running := self.running) is not None:
            raise CommandRunning(self.name, running.command, self.pid, self.foreground())
        request = _Request(RunningCommand(command, sink, hidden=hidden), cwd, env)
        if self._ready:
            self._begin(request)
        else:
            self._check(request)
            self._queued = request
            self._begin_bringing_up()
        return request.command

    def send_input(self, data: bytes) -> None:
        """Type into the running command's terminal.

        Raises NoForeground when no command runs, and InputTooLong for a line that a terminal in
        line mode would cut; nothing was typed then.
        """
        run, shell = self._typable()
        if shell.terminal.line_mode():
            longest = max(map(len, data.replace(b"\r", b"\n").split(b"\n")))
            if longest > LINE_LIMIT:
                raise InputTooLong(longest, LINE_LIMIT)
        run.typed = True
        run.command.now_active()
        shell.type(data)

    def send_key(self, key: str) -> None:
        """Press a key: `C-c`, `C-d`, `Enter`, `Up` and so on. Raises UnknownKey, NoForeground."""
        data = key_bytes(key)
        _, shell = self._typable()
        if shell.terminal.interrupts_on(data):
            self.interrupt()
        else:
            self.send_input(data)

    def interrupt(self, signal_name: str = "SIGINT") -> None:
        """Signal what is in front: the command's processes, or the shell's own loop.

        Raises NoForeground when no command runs, ValueError for an unknown signal.
        """
        number = signal.Signals[signal_name]
        run, shell = self._typable()
        run.signals.add(number)
        run.command.now_active()
        shell.terminal.signal(number)
        run.repeats += 1
        shell.send(shell.lines.recovery(run.nonce, run.repeats, run.mailbox, run.back))

    def resize(self, rows: int, cols: int) -> None:
        """Set the terminal's size, for later shells too; programs get SIGWINCH."""
        self._size = (rows, cols)
        if self._shell is not None:
            self._shell.terminal.resize(rows, cols)

    async def reset(self) -> StateLost:
        """Kill everything the session started and bring up a fresh shell, within 3 seconds."""
        if self._closed:
            raise SessionClosed(self.name)
        lost = StateLost("the session was reset", _KEPT, _LOST)
        await self._stop_bringing_up()
        self._give_up(lost, None)
        await self._end_processes()
        self._begin_bringing_up()
        assert self._bringing_up is not None
        await asyncio.shield(self._bringing_up)
        return lost

    async def close(self) -> None:
        """Kill everything the session started and free all it holds. Twice is safe."""
        if self._closed:
            return
        self._closed = True
        await self._stop_bringing_up()
        self._give_up(StateLost("the session was closed", (), (*_KEPT, *_LOST)), None)
        await self._end_processes()

    # -- commands -------------------------------------------------------------------------------

    def _check(self, request: _Request) -> None:
        if "\0" in request.command.command:
            raise CommandInvalid("a NUL byte cannot be passed to a shell")

    def _begin(self, request: _Request) -> None:
        shell = self._shell
        assert shell is not None
        nonce = secrets.token_hex(8).encode()
        mailbox = 1 - self._mailbox[0] if self._mailbox is not None else 0
        back = self.cwd if request.cwd is not None else None
        line = shell.lines.command(
            request.command.command,
            nonce,
            self._carried,
            mailbox=mailbox,
            cwd=request.cwd,
            back=back,
            env=request.env,
        )
        self._parser.expect(nonce)
        shell.rewind_mailbox(mailbox)
        self._run = _Run(request.command, nonce, mailbox, back)
        request.command.pid = shell.pid
        shell.send(line)

    def _typable(self) -> tuple[_Run, ShellProcess]:
        if self._run is None or self._shell is None or not self._ready:
            raise NoForeground(self.name)
        return self._run, self._shell

    def terminal_readable(self, shell: ShellProcess) -> None:
        """Called by the shell process."""
        if not shell.terminal.read(self._sink(shell), _READ_PER_WAKE)[1]:
            self._loop.remove_reader(shell.terminal.fd)
            if shell in self._former:
                self._former.remove(shell)
                shell.close()

    def _sink(self, shell: ShellProcess) -> OutputSink:
        if shell is self._shell and self._run is not None:
            return _Counting(self._run.command)
        return _Background(self, self._listener)

    def status_readable(self, shell: ShellProcess) -> None:
        """Called by the shell process."""
        for record in self._parser.feed(shell.read_status()):
            if self._run is not None and shell is self._shell:
                self._reported(shell, self._run, record)

    def _reported(self, shell: ShellProcess, run: _Run, record: StatusRecord) -> None:
        run.result = run.result or record
        if record.repeat < run.repeats:  # the repeat that an interrupt asked for is still to come
            return
        shell.terminal.read(self._sink(shell), _DRAIN_LIMIT)
        self._run = None
        self._mailbox, self._exports = (run.mailbox, run.nonce), None
        self._between_commands(shell, run)
        self._settle(run, run.result)

    def _between_commands(self, shell: ShellProcess, run: _Run) -> None:
        shell.terminal.restore_mode()
        if run.typed:
            shell.forget_typed()
        if self._parser.discarded:
            self._listener.warning(
                self, f"{self._parser.discarded} bytes on the status channel were not the shell's"
            )

    def _settle(self, run: _Run, record: StatusRecord) -> None:
        self._carried = Carried(record.exit_code, record.flags, record.traps)
        self.last_status = record.exit_code
        self.cwd = self._directory(run, record)
        reason: EndReason = "completed"
        if record.repeat or record.exit_code - 128 in run.signals:
            reason = "interrupted"
        lost, self._lost = self._lost, None
        run.command.finish(CommandEnd(record.exit_code, reason, self.cwd, lost))

    def _directory(self, run: _Run, record: StatusRecord) -> str:
        """$PWD, which keeps symbolic links, unless a program or an assignment made it wrong."""
        if run.back is not None or not record.cwd:
            return self.cwd
        return record.cwd

    # -- shells come and go ---------------------------------------------------------------------

    def control_closed(self, shell: ShellProcess) -> None:
        """Called by the shell process."""

    def exited(self, shell: ShellProcess) -> None:
        """Called by the shell process, once it has been reaped."""
        if shell is not self._shell:
            return
        self.status_readable(shell)
        shell.terminal.read(self._sink(shell), _DRAIN_LIMIT)
        self._give_up(StateLost(_how_it_ended(shell.exit_code), _KEPT, _LOST), shell.exit_code)
        if not self._closed:
            self._begin_bringing_up()

    def _give_up(self, lost: StateLost, exit_code: int | None) -> None:
        """Let go of the shell, keep what it knew, and say so to whoever waits."""
        shell, run, ready = self._shell, self._run, self._ready
        if shell is None:
            return
        self._last_exports()
        self._shell, self._run, self._ready = None, None, False
        self._parser, self._mailbox, self._carried = StatusParser(), None, Carried()
        shell.retire()
        self._former.append(shell)
        if ready:
            self._listener.ended(self, lost)
            self._lost = None if run is not None else lost
        if run is not None:
            code = 128 - exit_code if exit_code is not None and exit_code < 0 else exit_code
            run.command.finish(CommandEnd(code, "session_ended", self.cwd, lost, lost.reason))

    def _last_exports(self) -> dict[str, str]:
        if self._mailbox is not None and self._shell is not None and self._exports is None:
            text = self._shell.read_mailbox(*self._mailbox)
            self._exports = parse_exports(text) if text is not None else None
        return self._exports if self._exports is not None else dict(self.config.env)

    async def _end_processes(self) -> None:
        await end_session([(s.pid, s.marker) for s in self._former], _END_S)
        while self._former:
            self._former.pop().close()

    def _begin_bringing_up(self) -> None:
        if self._bringing_up is None or self._bringing_up.done():
            self._bringing_up = self._loop.create_task(self._bring_up())

    async def _stop_bringing_up(self) -> None:
        if self._bringing_up is not None and not self._bringing_up.done():
            self._bringing_up.cancel()
            await asyncio.wait([self._bringing_up])

    async def _bring_up(self) -> None:
        try:
            await self._start_shell()
            await self._run_startup_files()
        except ShellStartError as error:
            self._give_up(StateLost(str(error), _KEPT, _LOST), None)
            if self._queued is None:
                raise
            request, self._queued = self._queued, None
            request.command.finish(
                CommandEnd(None, "session_ended", self.cwd, self._lost, str(error))
            )
            return
        self._ready = True
        if self._queued is not None:
            request, self._queued = self._queued, None
            self._begin(request)

    async def _start_shell(self) -> None:
        env = {"TERM": "xterm-256color", **self._last_exports()}
        shell = ShellProcess(self.config.bash, self.cwd, env, self._size, self)
        self._shell = shell
        nonce = secrets.token_hex(8).encode()
        command = RunningCommand("", _Discard(), hidden=True)
        self._parser.expect(nonce)
        self._run = _Run(command, nonce, 0, None)
        shell.send(shell.lines.setup(nonce))
        await asyncio.wait([command.done], timeout=self.config.startup_timeout_s)
        if not command.done.done() or command.done.result().reason != "completed":
            raise ShellStartError(f"{self.config.bash} did not become ready; is it a working bash?")

    async def _run_startup_files(self) -> None:
        text = _STARTUP[self.config.startup]
        if not text:
            return
        command = RunningCommand(text, _Discard(), hidden=True)
        self._begin(_Request(command, None, None))
        await asyncio.wait([command.done], timeout=self.config.startup_timeout_s)
        if not command.done.done():
            raise ShellStartError("startup files did not end in time")


_STARTUP = {
    "none": "",
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


class _Counting:
    """The running command's output."""

    def __init__(self, command: RunningCommand) -> None:
        self._command = command

    def write(self, data: memoryview | bytes, /) -> None:
        self._command.total_bytes += len(data)
        self._command.now_active()
        self._command.sink.write(data)


class _Background:
    def __init__(self, session: ShellSession, listener: SessionListener) -> None:
        self._session, self._listener = session, listener

    def write(self, data: memoryview | bytes, /) -> None:
        self._listener.background_output(self._session, data)


def _how_it_ended(exit_code: int | None) -> str:
    if exit_code is None:
        return "the shell ended"
    if exit_code < 0:
        return f"the shell was killed by {signal.Signals(-exit_code).name}"
    return f"the shell exited with status {exit_code}"
