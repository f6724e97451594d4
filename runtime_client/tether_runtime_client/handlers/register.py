"""The handler table of a runtime client, filled in one place."""

from __future__ import annotations

from ..dispatcher import Dispatcher
from ..environment import Environment
from ..oom_kills import OomKills
from ..protocol import actions as a
from ..recorder import Recorder
from ..settings import ClientSettings
from ..shell import BashChoice
from ..tickets import Tickets
from .exec import Execs
from .files import Files
from .processes import Processes
from .shell import Sessions
from .terminal import Terminals
from .transfer import Transfers
from .variables import Variables


def register_handlers(
    dispatcher: Dispatcher,
    recorder: Recorder,
    tickets: Tickets,
    settings: ClientSettings,
    environment: Environment,
    bash: BashChoice,
    oom: OomKills,
) -> Sessions:
    """Register every built-in handler; returns what has to be closed at the end."""
    sessions = Sessions(settings, environment, bash, recorder.emit, oom)
    dispatcher.register(
        a.CmdRunAction,
        sessions.run,
        lane=lambda action: action.session,
        begin=sessions.begin_run,
    )
    dispatcher.register(a.CmdInputAction, sessions.type_in)
    dispatcher.register(a.CmdInterruptAction, sessions.interrupt)
    dispatcher.register(a.CmdPollAction, sessions.poll)
    dispatcher.register(a.SessionResetAction, sessions.reset)
    dispatcher.register(a.SessionResizeAction, sessions.resize)
    dispatcher.register(a.ScreenReadAction, sessions.read_screen)
    processes = Processes(sessions)
    dispatcher.register(a.ListProcessesAction, processes.list_all)
    dispatcher.register(a.ProcessSignalAction, processes.signal)
    variables = Variables(environment, sessions)
    dispatcher.register(a.SetEnvAction, variables.handle, begin=variables.begin)
    execs = Execs(settings, environment, oom)
    dispatcher.register(a.ExecAction, execs.handle)
    dispatcher.register(a.ExecSignalAction, execs.signal)
    files = Files(settings)
    dispatcher.register(a.FileReadAction, files.read)
    dispatcher.register(a.FileWriteAction, files.write)
    dispatcher.register(a.FileEditAction, files.edit)
    dispatcher.register(a.ListFilesAction, files.list_files)
    transfers = Transfers(tickets)
    dispatcher.register(a.UploadAction, transfers.upload)
    dispatcher.register(a.DownloadAction, transfers.download)
    dispatcher.register(a.TerminalAction, Terminals(tickets, settings, environment, bash).handle)
    return sessions
