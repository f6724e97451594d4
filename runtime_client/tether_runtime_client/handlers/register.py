"""The handler table of a runtime client, filled in one place."""

from __future__ import annotations

from dataclasses import dataclass

from ..dispatcher import Context, Dispatcher
from ..environment import Environment
from ..oom_kills import OomKills
from ..protocol import actions as a
from ..protocol import plugin_actions as p
from ..protocol import tree_actions as t
from ..protocol.observations import DoneObservation
from ..protocol.unfinished import Unfinished
from ..recorder import Recorder
from ..settings import ClientSettings
from ..shell import BashChoice
from ..tickets import Tickets
from .exec import Execs
from .exec_start import StartedExecs
from .files import Files
from .plugins import PluginActions
from .ports import Ports
from .processes import Processes
from .search import Searches
from .shell import Sessions
from .transfer import Transfers
from .variables import Variables
from .watch import Watches


@dataclass(frozen=True, slots=True)
class Handlers:
    """What has to be closed at the end, once no action runs any more."""

    sessions: Sessions
    plugins: PluginActions


def register_handlers(
    dispatcher: Dispatcher,
    recorder: Recorder,
    tickets: Tickets,
    settings: ClientSettings,
    environment: Environment,
    bash: BashChoice,
    oom: OomKills,
) -> Handlers:
    """Register every built-in handler."""
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
    recorder.pace.add(sessions)
    recorder.pace.add(execs)
    dispatcher.register(a.ExecAction, execs.handle)
    started = StartedExecs(execs, tickets, settings, environment, bash, oom)
    dispatcher.register(a.ExecStartAction, started.start)
    dispatcher.register(a.ExecAttachAction, started.attach)
    dispatcher.register(a.ExecSignalAction, started.signal)
    dispatcher.register(a.ListExecsAction, started.list_all)
    files = Files(settings)
    dispatcher.register(a.FileReadAction, files.read)
    dispatcher.register(a.FileWriteAction, files.write)
    dispatcher.register(a.FileEditAction, files.edit)
    dispatcher.register(a.ListFilesAction, files.list_files)
    dispatcher.register(t.FileStatAction, files.stat)
    _register_searches(dispatcher, settings)
    transfers = Transfers(tickets, Unfinished(settings.state / "unfinished"))
    dispatcher.register(a.UploadAction, transfers.upload, cancellable=True)
    dispatcher.register(a.DownloadAction, transfers.download, cancellable=True)
    ports = Ports(tickets)
    dispatcher.register(a.PortForwardAction, ports.forward)
    dispatcher.register(a.PortReverseAction, ports.reverse)
    plugins = PluginActions(recorder, settings, environment, sessions, oom)
    dispatcher.register(p.OpaqueAction, plugins.run, cancellable=True)
    dispatcher.register(p.ListPluginsAction, plugins.list_all)
    dispatcher.register(p.PluginStopAction, plugins.stop)
    return Handlers(sessions, plugins)


def _register_searches(dispatcher: Dispatcher, settings: ClientSettings) -> None:
    """What may take long and can be cancelled, and the action that does it."""

    async def cancel(action: t.CancelAction, _: Context) -> DoneObservation:
        dispatcher.cancel(action.target_id)
        return DoneObservation()

    searches = Searches(settings)
    dispatcher.register(t.FindFilesAction, searches.find, cancellable=True)
    dispatcher.register(t.GrepAction, searches.grep, cancellable=True)
    dispatcher.register(t.DiskUsageAction, searches.disk_usage, cancellable=True)
    dispatcher.register(t.FileWatchAction, Watches().handle, cancellable=True)
    dispatcher.register(t.CancelAction, cancel)
