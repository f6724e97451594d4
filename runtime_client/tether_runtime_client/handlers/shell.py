"""Shell actions: named sessions, made at first use, and the commands in them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from .. import shell as core
from ..dispatcher import Context, Tell
from ..environment import Environment
from ..oom_kills import OomKills
from ..protocol import actions as a
from ..protocol import errors as e
from ..protocol import observations as o
from ..protocol.events import CommandEnded, Event
from ..settings import ClientSettings
from ..shell.exports import Changes
from .command import Command, to_state_lost
from .going_on import GoingOn
from .output_log import OutputLog
from .session import Session
from .session_places import SessionPlaces
from .shell_errors import shell_errors
from .signals import signal_number

CLIENT_RESTARTED = o.StateLost(
    cause="client_died",
    reason="the runtime client was restarted, and every session with it",
    kept=("working directory",),
    lost=("variables", "functions", "aliases", "options", "jobs"),
)


class Sessions:
    """All shell sessions of a client. `close` ends them."""

    def __init__(
        self,
        settings: ClientSettings,
        environment: Environment,
        bash: core.BashChoice,
        emit: Callable[[Event], None],
        oom: OomKills,
    ) -> None:
        self._output = settings.state / "output"
        self._startup = settings.startup
        spare = settings.bundled_bash or core.bundled_bash()
        self._spare = spare if os.path.exists(spare) else None
        self._environment = environment
        self._bash = bash
        self._emit = emit
        self._oom = oom
        self._sessions: dict[str, Session] = {}
        self._starting: dict[str, asyncio.Task[Session]] = {}
        self._places = SessionPlaces(settings.state / "shells")
        self._going_on = GoingOn(settings.state / "going_on")
        self._tell_lost()

    def _tell_lost(self) -> None:
        """Of commands that had been reported as going on, and ended with the client before."""
        for left in self._going_on.left():
            seen = max(left.total_bytes, _size(self._output / f"{left.action_id}.log"))
            self._emit(
                CommandEnded(
                    action_id=left.action_id,
                    session=left.session,
                    status="session_ended",
                    total_bytes=seen,
                )
            )

    def hold_output(self) -> None:
        """Programs wait once their terminals are full."""
        for session in self._sessions.values():
            session.shell.hold_output()

    def release_output(self) -> None:
        """They go on. Twice is safe."""
        for session in self._sessions.values():
            session.shell.release_output()

    async def run(self, action: a.CmdRunAction, context: Context) -> o.Observation:
        """Start a command; report at its end, its wait for input, or its timeout."""
        command = self._start_in(await self._get(action.session), action, context)
        return await command.report(action.timeout_s, action.no_output_timeout_s)

    def begin_run(self, action: a.CmdRunAction, context: Context, tell: Tell) -> bool:
        """The same where the session is up: the shell has the command when this returns."""
        task = self._starting.get(action.session)
        if task is None or not task.done() or task.cancelled() or task.exception():
            return False
        command = self._start_in(task.result(), action, context)
        command.report_to(tell, action.timeout_s, action.no_output_timeout_s)
        return True

    def _start_in(self, session: Session, action: a.CmdRunAction, context: Context) -> Command:
        path = f"{self._output}/{context.action_id}.log"
        output = OutputLog(action.session, context.action_id, path, context.emit)
        return session.start(action, context, output)

    async def type_in(self, action: a.CmdInputAction, _: Context) -> o.Observation:
        """Type into the running command; report as `run` does."""
        session = self.existing(action.session)
        command = session.running()
        with shell_errors():
            if action.key is not None:
                session.shell.send_key(action.key, application=command.keyboard.application)
            elif action.paste is not None:
                await session.shell.send_input(command.keyboard.pasted(action.paste))
            else:
                await session.shell.send_input((action.text or "").encode())
        return await command.report(action.timeout_s)

    async def interrupt(self, action: a.CmdInterruptAction, _: Context) -> o.Observation:
        """Signal the running command; report its end, or that it goes on."""
        signal_number(action.signal)
        session = self.existing(action.session)
        command = session.running()
        session.interrupt(command, action.signal)
        for harder in _harder(action.signal) if action.escalate else ():
            if await command.ends_within(action.timeout_s):
                break
            session.interrupt(command, harder)
        if action.escalate and not await command.ends_within(action.timeout_s):
            session.shell.kill()  # what goes on is a loop of the shell's own
            await command.ends_within(action.timeout_s)  # though it waits for input meanwhile
        return await command.report(action.timeout_s)

    async def poll(self, action: a.CmdPollAction, _: Context) -> o.Observation:
        """Report what is new of the running command, or of one that ended unasked."""
        return await self.existing(action.session).latest().report(action.timeout_s)

    async def reset(self, action: a.SessionResetAction, _: Context) -> o.SessionResetObservation:
        """Kill everything in the session, also while it starts, and start a fresh shell."""
        session = self._session(action.session)
        with shell_errors():
            lost = await session.shell.reset()
        await self._get(action.session)
        state_lost = to_state_lost(lost)
        assert state_lost is not None
        return o.SessionResetObservation(
            session=action.session, cwd=session.shell.cwd, state_lost=state_lost
        )

    async def resize(self, action: a.SessionResizeAction, _: Context) -> o.DoneObservation:
        """Change the size of the session's terminal, now and for later."""
        (await self._get(action.session)).resize(action.rows, action.cols)
        return o.DoneObservation()

    async def read_screen(self, action: a.ScreenReadAction, _: Context) -> o.ScreenObservation:
        """Report what the newest command's output has made of the screen."""
        session = self.existing(action.session)
        session.shell.read_output()
        shown = await session.latest().view.look(newline=session.shell.maps_newlines)
        return o.ScreenObservation(
            session=action.session,
            content=shown.content,
            rows=shown.rows,
            cols=shown.cols,
            cursor=o.ScreenCursor(row=shown.row, col=shown.col, visible=shown.cursor_visible),
            alternate=shown.alternate,
            complete=shown.complete,
            total_bytes=shown.total_bytes,
        )

    async def close(self) -> None:
        """End every session and everything that runs in it. Twice is safe."""
        sessions, self._sessions = list(self._sessions.values()), {}
        starting, self._starting = list(self._starting.values()), {}
        await asyncio.gather(*(session.shell.close() for session in sessions))
        await asyncio.gather(*starting, return_exceptions=True)

    async def _get(self, name: str) -> Session:
        """The session, started if it is new. Whoever else asks meanwhile waits for the same."""
        if name not in self._starting:
            self._starting[name] = asyncio.create_task(self._start(name))
        task = self._starting[name]
        try:
            return await asyncio.shield(task)
        except e.TetherError:
            if self._starting.get(name) is task:
                del self._starting[name]
            raise

    def folder_of(self, session: str) -> str:
        """Where the session is; where it would start, if it has no shell. Raises OSError."""
        if session in self._sessions:
            return self._sessions[session].shell.cwd
        return self._places.earlier(session) or os.getcwd()

    async def environment_of(self, session: str) -> dict[str, str]:
        """What the session exports, after its last command; what it would be given at its start."""
        if session not in self._sessions:
            return self._environment.of_commands
        shell = self._sessions[session].shell
        await shell.settle()
        return shell.exported

    def _session(self, name: str) -> Session:
        """The session, which may not have a shell yet."""
        if name not in self._sessions:
            if not self._bash.path:
                raise e.NoShell(f"there is no shell: {self._bash.reason}")
            earlier = self._places.earlier(name)
            config = self._config(earlier or os.getcwd())
            session = Session(name, config, self._emit, self._oom, self._places, self._going_on)
            session.lost_before = CLIENT_RESTARTED if earlier is not None else None
            self._sessions[name] = session
        return self._sessions[name]

    def _config(self, cwd: str) -> core.ShellConfig:
        env = self._environment.of_commands
        commands = self._environment.commands
        return core.ShellConfig(
            self._bash.path, cwd, env, self._startup, commands=commands, spare=self._spare
        )

    def set_env(self, changes: Changes) -> None:
        """Change the variables of the sessions that are there, before their next commands."""
        for session in self._sessions.values():
            session.shell.set_env(changes)

    async def _start(self, name: str) -> Session:
        session = self._session(name)
        with shell_errors():
            await session.shell.start()
        self._places.note(name, session.shell.cwd)
        return session

    def all(self) -> list[Session]:
        """Every session that was asked for."""
        return list(self._sessions.values())

    def existing(self, name: str) -> Session:
        """Raises `NothingRunning` for a session that nobody has used."""
        if name not in self._sessions:
            raise self._nothing_ran(name)
        return self._sessions[name]

    def _nothing_ran(self, name: str) -> e.NothingRunning:
        if self._places.earlier(name) is None:
            return e.NothingRunning(f"session {name!r} has not run a command yet")
        return e.NothingRunning(
            f"nothing runs in session {name!r}: what ran there ended with the former client",
            hint="Run the next command; it begins in the session's last directory",
        )


def _harder(signal: str) -> Sequence[str]:
    """What follows on a signal that did not end a command."""
    rising = ("SIGTERM", "SIGKILL")
    return rising[rising.index(signal) + 1 :] if signal in rising else rising


def _size(path: Path) -> int:
    """0 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
