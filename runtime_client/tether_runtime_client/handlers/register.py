"""The handler table of a runtime client, filled in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

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
from .later import Later
from .plugins import PluginActions
from .processes import Processes
from .shell import Sessions
from .variables import Variables

if TYPE_CHECKING:
    from .files import Files
    from .ports import Ports
    from .search import Searches
    from .transfer import Transfers
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
    _register_files(dispatcher, settings)
    _register_searches(dispatcher, settings)
    _register_bulk(dispatcher, tickets, settings)
    plugins = PluginActions(recorder, settings, environment, sessions, oom)
    dispatcher.register(p.OpaqueAction, plugins.run, cancellable=True)
    dispatcher.register(p.ListPluginsAction, plugins.list_all)
    dispatcher.register(p.PluginStopAction, plugins.stop)
    return Handlers(sessions, plugins)


def _register_files(dispatcher: Dispatcher, settings: ClientSettings) -> None:
    def make() -> Files:
        from .files import Files

        return Files(settings)

    files = Later(make)
    dispatcher.register(a.FileReadAction, files.handle(lambda it: it.read))
    dispatcher.register(a.FileWriteAction, files.handle(lambda it: it.write))
    dispatcher.register(a.FileEditAction, files.handle(lambda it: it.edit))
    dispatcher.register(a.ListFilesAction, files.handle(lambda it: it.list_files))
    dispatcher.register(t.FileStatAction, files.handle(lambda it: it.stat))


def _register_searches(dispatcher: Dispatcher, settings: ClientSettings) -> None:
    """What may take long and can be cancelled, and the action that does it."""

    def make() -> Searches:
        from .search import Searches

        return Searches(settings)

    def make_watches() -> Watches:
        from .watch import Watches

        return Watches()

    async def cancel(action: t.CancelAction, _: Context) -> DoneObservation:
        dispatcher.cancel(action.target_id)
        return DoneObservation()

    searches, watches = Later(make), Later(make_watches)
    find, grep = searches.handle(lambda it: it.find), searches.handle(lambda it: it.grep)
    usage = searches.handle(lambda it: it.disk_usage)
    dispatcher.register(t.FindFilesAction, find, cancellable=True)
    dispatcher.register(t.GrepAction, grep, cancellable=True)
    dispatcher.register(t.DiskUsageAction, usage, cancellable=True)
    watch = watches.handle(lambda it: it.handle)
    dispatcher.register(t.FileWatchAction, watch, cancellable=True)
    dispatcher.register(t.CancelAction, cancel)


def _register_bulk(dispatcher: Dispatcher, tickets: Tickets, settings: ClientSettings) -> None:
    """What has connections of its own: transfers and ports."""
    unfinished = Unfinished(settings.state / "unfinished")

    def make() -> Transfers:
        from .transfer import Transfers

        return Transfers(tickets, unfinished)

    def make_ports() -> Ports:
        from .ports import Ports

        return Ports(tickets)

    transfers, ports = Later(make), Later(make_ports)
    if unfinished.left():
        transfers.get()  # which removes that
    upload = transfers.handle(lambda it: it.upload)
    download = transfers.handle(lambda it: it.download)
    dispatcher.register(a.UploadAction, upload, cancellable=True)
    dispatcher.register(a.DownloadAction, download, cancellable=True)
    dispatcher.register(a.PortForwardAction, ports.handle(lambda it: it.forward))
    dispatcher.register(a.PortReverseAction, ports.handle(lambda it: it.reverse))
