"""One named shell session as actions see it: its shell, its latest command, what it tells."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from .. import shell as core
from ..dispatcher import Context
from ..oom_kills import OomKills
from ..protocol import actions as a
from ..protocol import errors as e
from ..protocol import observations as o
from ..protocol.events import Event, SessionEnded, SessionWarning
from .action_times import ActionTime, ActionTimes
from .background_log import BackgroundLog
from .command import Command
from .going_on import GoingOn
from .output_log import OutputLog
from .session_places import SessionPlaces
from .shell_errors import shell_errors


class Session:
    """One named session: its shell and its latest command. A `SessionListener`."""

    def __init__(
        self,
        name: str,
        config: core.ShellConfig,
        emit: Callable[[Event], None],
        oom: OomKills,
        places: SessionPlaces,
        going_on: GoingOn,
    ) -> None:
        self.shell = core.ShellSession(name, config, listener=self, oom=oom)
        self.lost_before: o.StateLost | None = None
        self._name = name
        self._emit = emit
        self._places = places
        self._going_on = going_on
        self._latest: Command | None = None
        self._background = BackgroundLog(name, emit)
        self.times = ActionTimes()

    def start(self, action: a.CmdRunAction, context: Context, output: OutputLog) -> Command:
        """Hand a command to the shell."""
        if action.cwd is not None:
            _check_folder(os.path.join(self.shell.cwd, action.cwd))
        self._places.note(self._name, self.shell.cwd)
        with shell_errors():
            running = self.shell.start_command(
                action.command, output, cwd=action.cwd, env=action.env, hidden=action.hidden
            )
        self._background.flush()
        when = ActionTime(context.action_id, running.started)
        self.times.add(when)
        lost, self.lost_before = self.lost_before, None
        self._latest = Command(
            when,
            self.shell,
            running,
            output,
            ansi=action.ansi,
            lost_before=lost,
            going_on=self._going_on,
            emit=self._emit,
        )
        return self._latest

    def resize(self, rows: int, cols: int) -> None:
        """Change the terminal's size; what was written so far was for the former one."""
        if self._latest is not None:
            self.shell.read_output()
            self._latest.view.resize(rows, cols)
        self.shell.resize(rows, cols)

    def interrupt(self, command: Command, signal: str) -> None:
        """Signal what is in front of the running command."""
        command.forget_wait()
        with shell_errors():
            self.shell.interrupt(signal)

    def latest(self) -> Command:
        """The newest command; raises `NothingRunning` when there was none."""
        if self._latest is None:
            raise e.NothingRunning(f"session {self._name!r} has not run a command yet")
        return self._latest

    def running(self) -> Command:
        """The running command; raises `NothingRunning` when there is none."""
        command = self.latest()
        if command.over:
            raise e.NothingRunning(
                f"nothing runs in session {self._name!r}",
                hint="The command has ended; poll tells how, or start another",
            )
        return command

    # --- SessionListener

    def background_output(self, _: core.ShellSession, data: memoryview | bytes) -> None:
        """Output between commands: jobs, mostly. It comes before what a command writes."""
        self._background.write(data)
        if self._latest is not None and not self._latest.over:
            self._background.flush()

    def warning(self, _: core.ShellSession, message: str) -> None:
        """Something odd that lost nothing."""
        self._emit(SessionWarning(session=self._name, message=message))

    def ended(self, _: core.ShellSession, lost: core.StateLost) -> None:
        """The shell is gone, and a new one takes its place."""
        self._background.flush()
        self._emit(SessionEnded(session=self._name, cause=lost.cause, reason=lost.reason))


def _check_folder(path: str) -> None:
    """Raises `WorkingDirectoryMissing` for what is not there or no folder: nothing has run then.

    Whether it may be entered is for the shell to say, who may be somebody else.
    """
    try:
        if stat.S_ISDIR(os.stat(path).st_mode):
            return
        why = "it is no folder"
    except (FileNotFoundError, NotADirectoryError):
        why = "there is no such folder"
    except (OSError, ValueError):
        return
    text = f"the working directory {path!r} cannot be entered: {why}"
    raise e.WorkingDirectoryMissing(text, hint="Make it first, or choose another `cwd`", cwd=path)
