"""One bash that runs commands and reports their ends, until it ends or breaks itself."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Protocol

from .checkup import Checkup
from .command import RunningCommand
from .control import Carried
from .family import Family
from .idle import IdleKeeper
from .inert import inert_program
from .interrupts import Interrupts
from .reports import ReportTo
from .run import Request, Run, fresh_nonce
from .shell_end import DEAF, HUNG_UP, UNREAD, ShellEnd, shell_ended
from .shell_process import ShellProcess
from .status import StatusParser, StatusRecord
from .terminal import READ_PER_WAKE

DRAIN_LIMIT = 256 * 1024  # after a report


class ShellOwner(Protocol):
    """What a shell tells the session. All are called on the loop."""

    def background(self, shell: Shell, data: memoryview | bytes, /) -> None: ...

    def finished(self, shell: Shell, run: Run, record: StatusRecord, /) -> None: ...

    def over(self, shell: Shell, end: ShellEnd, /) -> None:
        """The shell ended or is no use any more. The run it had, if any, is still `shell.run`.

        With `shell.never_ran` that run never reached the shell.
        """

    def warning(self, shell: Shell, message: str, /) -> None: ...

    def gone(self, shell: Shell, /) -> None:
        """A retired shell has been reaped, and nothing has its terminal open any more."""


class Shell:
    """Starts in the constructor; `set_up` it, then `begin` one request at a time.

    Raises ShellStartError. After `over`, `retire` keeps its terminal open for what it left
    behind, and `close` frees it all. Only `kill` ends the shell, and nothing else does.
    """

    def __init__(
        self,
        bash: str,
        cwd: str,
        env: Mapping[str, str],
        size: tuple[int, int],
        family: Family,
        owner: ShellOwner,
    ) -> None:
        self._owner = owner
        self._parser = StatusParser()
        self._carried = Carried()
        self._may_trap = False
        self._may_trap_children = False
        self._retired = False
        self._closed = False
        self.run: Run | None = None
        self.cwd = cwd
        self.process = ShellProcess(bash, cwd, env, size, self, family)
        self.terminal = self.process.terminal
        self._mailboxes = self.process.mailboxes
        self._condition = self.process.condition
        self._checkup = Checkup(self, self.process)
        self._watch = self._checkup.watch
        self._idle = IdleKeeper(self.process.send)
        self._interrupts = Interrupts(self.process, lambda: self.run, self.ask_again)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def never_ran(self) -> bool:
        """Whether the shell did not take the line of its run, and cannot any more.

        A line that asks for the report again may come too late; the command itself was read then.
        """
        return self.process.refused and self.run is not None and not self.run.repeats

    def set_up(self, command: RunningCommand) -> None:
        """Send the first line. `finished` is called when bash is ready for commands."""
        run = self._expect(Request(command), ReportTo(fresh_nonce()))
        self.process.send(self.process.lines.setup(run.to))

    def begin(self, request: Request) -> None:
        """Send a command now. Raises CommandInvalid, and nothing was sent then.

        Where the shell cannot be reached any more, `over` is called before this returns.
        """
        back = self.cwd if request.cwd is not None else None
        mailbox = self._mailboxes.next_for(request.command.command)
        brief = self._is_inert(request)
        to = ReportTo(fresh_nonce(), mailbox, back, brief, self._mailboxes.asked)
        line = self.process.lines.command(
            request.command.command, to, self._carried, cwd=request.cwd, env=request.env
        )
        if request.exports:
            line = self.process.lines.exports(request.exports) + line
        run = self._expect(request, to)
        self.process.send(line)
        if self.process.refused:
            self._owner.over(self, DEAF)
        elif request.typed:
            self.type(run, bytes(request.typed))

    def _is_inert(self, request: Request) -> bool:
        """Whether the shell will have nothing new to tell but that the command ended, and how."""
        if request.cwd is not None or request.env or request.exports or self._carried.watching:
            return False
        program = inert_program(request.command.command)
        return program is not None and self._mailboxes.is_program(program)

    def _expect(self, request: Request, to: ReportTo) -> Run:
        text = request.command.command
        self._may_trap = self._may_trap or "trap" in text
        self._may_trap_children = self._may_trap_children or "CHLD" in text
        self.run = Run(request, to, may_trap=self._may_trap)
        self._parser.expect(to.nonce)
        request.command.pid = self.pid
        self._idle.end()
        self._watch.begin()
        return self.run

    def interrupt(self, run: Run, number: int, *, whole: bool = False) -> None:
        """As `Interrupts.signal` says."""
        self.active(run)
        self._interrupts.signal(run, number, whole=whole)

    def type(self, run: Run, data: bytes) -> None:
        """Type into the terminal."""
        run.typed = True
        self.active(run)
        self.process.type(data)

    def press(self, run: Run, data: bytes) -> None:
        """The same for a key, which may have the terminal signal what is in front."""
        if self.terminal.signal_of(data) is None:
            self.type(run, data)
            return
        run.typed = True
        self.active(run)
        self._interrupts.press(run, data)

    def active(self, run: Run) -> None:
        """The command got something: an earlier wait for input is over."""
        run.command.now_active()
        self._watch.active()

    def ask_again(self, run: Run, *, repair: bool = False) -> None:
        """Have the shell report the command's end again; `repair` it before, if it can be."""
        run.repeats += 1
        lines = self.process.lines
        make = lines.repair if repair else lines.recovery
        self.process.send(make(run.to, run.repeats))

    # -- what arrives ---------------------------------------------------------------------------

    def terminal_readable(self, process: ShellProcess) -> None:
        """Called by the process."""
        if not self.read_terminal(READ_PER_WAKE):
            process.stop_reading()
            self._closed = True
            self._gone_if_all_ended()

    def read_terminal(self, limit: int) -> bool:
        """Pass on the output that is there; returns whether the terminal is still open."""
        return self.terminal.read(self._deliver, limit)

    def _deliver(self, data: memoryview) -> None:
        if self.run is None:
            self._owner.background(self, data)
            return
        command = self.run.command
        command.total_bytes += len(data)
        command.now_active()
        self._watch.active()
        command.sink.write(data)

    def status_readable(self, process: ShellProcess) -> None:
        """Called by the process."""
        for record in self._parser.feed(process.read_status()):
            if self.run is not None:
                self._reported(self.run, record)

    def _reported(self, run: Run, record: StatusRecord) -> None:
        if run.result is None:
            run.result = run.as_meant(record) if signal.SIGINT in run.signals else record
        if record.repeat < run.repeats:  # what an interrupt asked for is still to come
            return
        self.read_terminal(DRAIN_LIMIT)
        if run.lost:
            self._owner.over(self, UNREAD)
            return
        self.run = None
        self._watch.end()
        if run.result.torn:
            self._interrupts.cut_short()
        if not run.to.brief or run.repeats:
            self._mailboxes.reported(run.to, self.process.pid)
        self._tidy(run, run.result)
        self._owner.finished(self, run, run.result)
        if self.terminal.hung_up:
            self._owner.over(self, HUNG_UP)

    def _tidy(self, run: Run, record: StatusRecord) -> None:
        """Leave nothing of the command to the next one, but what a shell carries."""
        restored = self.terminal.restore_mode()
        if run.typed:
            self.process.forget_typed()
        before, self._carried = self._carried, self._carried.after(record, run.command.command)
        count = self._parser.discarded
        if count and not (before.traps or self._carried.traps):  # a trap traces our lines too
            self._owner.warning(self, f"{count} bytes on the status channel were not the shell's")
        if run.to.back is None:
            self.cwd = self._condition.true_cwd(record.cwd, self.cwd)
        self._may_trap = self._may_trap or record.catches
        if restored and not self._may_trap_children:  # it would run for this
            self.process.send(self.process.lines.note_mode())
        self._idle.begin(record.idle_limit)

    @property
    def settled(self) -> bool:
        """Whether the variables of the last command are here: they follow on its status."""
        return self.run is not None or self._mailboxes.settled

    def exports(self) -> dict[str, str] | None:
        """The exported variables as of the last report that is whole."""
        return self._mailboxes.exports()

    @property
    def had(self) -> set[str]:
        """The names of the variables that were exported when it had just come up."""
        return self._mailboxes.had

    # -- what happens to the shell ----------------------------------------------------------------

    def control_closed(self, process: ShellProcess) -> None:
        """Called by the process: it ends, or has executed another program."""
        self._checkup.control_closed()

    def exited(self, process: ShellProcess) -> None:
        """Called by the process, once it has been reaped."""
        if self._retired:
            self._gone_if_all_ended()
            return
        self.status_readable(process)
        self.read_terminal(DRAIN_LIMIT)
        self._owner.over(self, shell_ended(process.exit_code))

    def broken(self, end: ShellEnd) -> None:
        """Called by the checkup: the shell is no use any more."""
        self._owner.over(self, end)

    def _gone_if_all_ended(self) -> None:
        if self._retired and self._closed and not self.process.alive:
            self._owner.gone(self)

    def kill(self) -> None:
        """Kill the shell alone, and retire. Twice is safe."""
        self.process.kill()
        self.retire()

    def retire(self) -> None:
        """Let go of everything but the terminal, which what runs may still write to.

        The shell itself is still to be ended. Twice is safe.
        """
        self._retired = True
        self.run = None
        self._idle.end()
        self._watch.close()
        self._interrupts.close()
        self.process.retire()

    def close(self) -> None:
        """Free everything. Twice is safe."""
        self.retire()
        self.process.close()
