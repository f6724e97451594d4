"""`SyncEventStreamRuntime`: the runtime for code that does not use asyncio."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack, overload

from tether_runtime_client.protocol import actions as a
from tether_runtime_client.protocol import observations as o
from tether_runtime_client.protocol import tree_actions as t
from tether_runtime_client.protocol.bulk_io import TransferProgress
from tether_runtime_client.protocol.errors import RuntimeClosed
from tether_runtime_client.protocol.events import (
    Event,
    FilesChanged,
    WatchOverflow,
    WatchReady,
)
from tether_runtime_client.protocol.exec_actions import ExecEntry
from tether_runtime_client.protocol.plugin_actions import ListPluginsAction, PluginAction
from tether_runtime_client.protocol.plugin_observations import PluginInfo

from .backends import Progress
from .calls import P, ShellAction, Streamed
from .event_stream import EventStream
from .loop_thread import LoopThread
from .operator import OperatorRuntime
from .plugins.asked import PluginsAsked
from .ports import Forward
from .ports.options import ForwardOptions, ReverseOptions
from .runtime import EventStreamRuntime
from .sidecars.asked import SidecarsAsked
from .spawn_options import SpawnOptions
from .sync_iteration import iterate
from .sync_ports import SyncForward, SyncReverse
from .sync_process import SyncProcess
from .transfer_rules import TransferOptions
from .transports import TransportSettings

if TYPE_CHECKING:
    from .skills import Skills


class RuntimeOptions(TypedDict, total=False):
    """What `EventStreamRuntime` takes beside the image; its docstring says what each means."""

    backend: str
    env: Mapping[str, str] | None
    workdir: str | None
    user: str | int | None
    mounts: Sequence[str]
    resources: Mapping[str, object] | None
    network: str | None
    transport: TransportSettings
    name: str | None
    keep: bool
    lease_s: float
    inject: str
    entrypoint: str
    plugins: PluginsAsked
    plugin_packages: Sequence[str]
    sidecars: SidecarsAsked
    login: bool
    secret_lifetime_s: float | None
    start_timeout_s: float
    progress: Progress


class SyncEventStreamRuntime:
    """An `EventStreamRuntime` on an event loop of its own, in a thread of its own.

    A context manager with the same options and methods; each returns when it is done. Any number
    of threads may use one runtime. Ctrl-C during a call raises `KeyboardInterrupt` there, and the
    runtime stays usable; a command that was running runs on. `progress` is called in the
    runtime's thread.
    """

    def __init__(self, image: str | None = None, **options: Unpack[RuntimeOptions]) -> None:
        self._thread: LoopThread | None = None
        self._runtime = EventStreamRuntime(image, **options)

    @classmethod
    def attach(cls, name: str, *, takeover: bool = False, **options: Any) -> Self:
        """As `EventStreamRuntime.attach`."""
        runtime = cls.__new__(cls)
        runtime._thread = None
        runtime._runtime = EventStreamRuntime.attach(name, takeover=takeover, **options)
        return runtime

    @property
    def name(self) -> str:
        """The sandbox's name."""
        return self._runtime.name

    @property
    def connection(self) -> str:
        """The transport in use, where it leads and why it was chosen, for people."""
        return self._runtime.connection

    @property
    def events(self) -> SyncEventStream:
        """Every event of the sandbox; stays readable after the runtime is closed."""
        return SyncEventStream(self._runtime.events, self._thread)

    def cut_connection(self) -> None:
        """Drop the event connection as a broken network would: a drill. Nothing is lost by it."""
        self._loop.tell(self._runtime.cut_connection)

    def rotate_secret(self) -> None:
        """Change the sandbox's secret; returns when it refuses the former."""
        self._loop.call(self._runtime.rotate_secret)

    # --- lifetime

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        thread: LoopThread | None = getattr(self, "_thread", None)
        if thread is not None:
            thread.abandon()

    def start(self) -> None:
        """What entering the block does. A failed or interrupted start frees what it had made."""
        if self._thread is not None:
            raise RuntimeClosed("a runtime is started once")
        self._thread = LoopThread(f"runtime {self.name!r}", self._runtime.close)
        try:
            self._thread.call(self._runtime.start)
        except BaseException:
            if self._thread.busy:  # interrupted again, at its clean-up: that goes on by itself
                self._thread.finish_later(_nothing)
            else:
                self._thread.finish(_nothing)
            raise

    def close(self, *, keep: bool | None = None) -> None:
        """What leaving the block does; `keep` overrides the runtime's own. Twice is safe."""
        if self._thread is not None:
            self._thread.finish(lambda: self._runtime.close(keep=keep))

    # --- actions

    @overload
    def run(self, action: ShellAction, *, id: str | None = None) -> o.CmdOutputObservation: ...
    @overload
    def run(self, action: a.ExecAction, *, id: str | None = None) -> o.ExecObservation: ...
    @overload
    def run(
        self, action: a.SessionResetAction, *, id: str | None = None
    ) -> o.SessionResetObservation: ...
    @overload
    def run(self, action: a.ScreenReadAction, *, id: str | None = None) -> o.ScreenObservation: ...
    @overload
    def run(self, action: a.FileReadAction, *, id: str | None = None) -> o.FileReadObservation: ...
    @overload
    def run(
        self, action: a.FileWriteAction, *, id: str | None = None
    ) -> o.FileWriteObservation: ...
    @overload
    def run(self, action: a.FileEditAction, *, id: str | None = None) -> o.FileEditObservation: ...
    @overload
    def run(
        self, action: a.ListFilesAction, *, id: str | None = None
    ) -> o.ListFilesObservation: ...
    @overload
    def run(
        self, action: a.ListProcessesAction, *, id: str | None = None
    ) -> o.ListProcessesObservation: ...
    @overload
    def run(self, action: t.FileStatAction, *, id: str | None = None) -> o.FileStatObservation: ...
    @overload
    def run(
        self, action: t.FindFilesAction, *, id: str | None = None
    ) -> o.FindFilesObservation: ...
    @overload
    def run(self, action: t.GrepAction, *, id: str | None = None) -> o.GrepObservation: ...
    @overload
    def run(
        self, action: t.DiskUsageAction, *, id: str | None = None
    ) -> o.DiskUsageObservation: ...
    @overload
    def run(
        self, action: t.FileWatchAction, *, id: str | None = None
    ) -> o.FileWatchObservation: ...
    @overload
    def run(
        self, action: ListPluginsAction, *, id: str | None = None
    ) -> o.ListPluginsObservation: ...
    @overload
    def run(self, action: PluginAction[P], *, id: str | None = None) -> P: ...
    @overload
    def run(self, action: a.Action, *, id: str | None = None) -> o.Observation: ...

    def run(self, action: a.Action, *, id: str | None = None) -> o.Observation:
        """Run an action and return its observation; raises the `ActionError` it ended in."""
        return self._loop.call(self._runtime.run, action, id=id)

    def stream(self, action: a.Action, *, id: str | None = None) -> Iterator[Streamed]:
        """Run an action; yields its output as it comes, then its observation. Raises as `run`."""
        return iterate(self._loop, self._runtime.stream(action, id=id))

    def watch(
        self, path: str, *, recursive: bool = False, exclude: Sequence[str] = ()
    ) -> Iterator[WatchReady | FilesChanged | WatchOverflow]:
        """Yield what changes at a path, until it goes away or the iteration is closed."""
        watch = self._runtime.watch(path, recursive=recursive, exclude=exclude)
        return iterate(self._loop, watch)

    def exec(
        self,
        command: Sequence[str] | str,
        *,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        user: str | int | None = None,
        group: str | int | None = None,
        umask: int | None = None,
        nice: int | None = None,
        timeout_s: float | None = None,
    ) -> o.ExecObservation:
        """Run a process without a terminal: a list of arguments, or text for `sh -c`."""
        return self._loop.call(
            self._runtime.exec,
            command,
            stdin=stdin,
            env=env,
            cwd=cwd,
            user=user,
            group=group,
            umask=umask,
            nice=nice,
            timeout_s=timeout_s,
        )

    def spawn(
        self,
        command: Sequence[str] | str = (),
        *,
        id: str | None = None,
        **options: Unpack[SpawnOptions],
    ) -> SyncProcess:
        """Start a process and return a handle on it at once."""
        process = self._loop.call(self._runtime.spawn, command, id=id, **options)
        return SyncProcess(self._loop, process)

    def process(self, id: str) -> SyncProcess:
        """A handle on a process that was spawned, taken from whoever had it."""
        return SyncProcess(self._loop, self._loop.call(self._runtime.process, id))

    def processes(self) -> tuple[ExecEntry, ...]:
        """The spawned processes of the sandbox: the newest that have ended, then what runs."""
        return self._loop.call(self._runtime.processes)

    def plugins(self, *, health: bool = False) -> tuple[PluginInfo, ...]:
        """The plugins of the sandbox; with `health` each one that runs is asked how it is."""
        return self._loop.call(self._runtime.plugins, health=health)

    def skills(self) -> Skills:
        """The agent's skills in the sandbox: typed entries, and `str()` of it for a prompt."""
        return self._loop.call(self._runtime.skills)

    def add_skills(self, source: str | os.PathLike[str]) -> Skills:
        """Make the functions of a module or package skills of the agent, at once; returns those."""
        return self._loop.call(self._runtime.add_skills, source)

    def set_env(self, env: Mapping[str, str | None]) -> None:
        """Set variables of everything that starts in the sandbox; None takes one away."""
        self._loop.call(self._runtime.set_env, env)

    def upload(
        self,
        source: str | os.PathLike[str],
        target: str,
        *,
        progress: TransferProgress | None = None,
        **options: Unpack[TransferOptions],
    ) -> o.TransferObservation:
        """Copy a file or a folder's tree into the sandbox, under the name `target`."""
        work = self._runtime.upload
        return self._loop.call(work, source, target, progress=progress, **options)

    def download(
        self,
        source: str,
        target: str | os.PathLike[str],
        *,
        progress: TransferProgress | None = None,
        **options: Unpack[TransferOptions],
    ) -> o.TransferObservation:
        """Copy a file or a folder's tree out of the sandbox, under the name `target`."""
        work = self._runtime.download
        return self._loop.call(work, source, target, progress=progress, **options)

    def copy_to(
        self,
        source: str,
        other: SyncEventStreamRuntime,
        target: str,
        *,
        progress: TransferProgress | None = None,
        **options: Unpack[TransferOptions],
    ) -> o.TransferObservation:
        """Copy a file or a folder's tree to another sandbox, or within this one."""
        places = (self._runtime, source, other._runtime, target)
        return self._loop.call(_copy_to, *places, progress, options)

    def forward(self, target: int | str, **options: Unpack[ForwardOptions]) -> SyncForward:
        """Make a port inside reachable here, also one of its loopback, or a UNIX socket."""
        forward = self._loop.call(self._runtime.forward, target, **options)
        return SyncForward(self._loop, forward)

    def reverse(self, target: int | str, **options: Unpack[ReverseOptions]) -> SyncReverse:
        """Make a port of here, or a UNIX socket, reachable inside: that and no other."""
        reverse = self._loop.call(self._runtime.reverse, target, **options)
        return SyncReverse(self._loop, reverse)

    @property
    def ports(self) -> tuple[SyncForward | SyncReverse, ...]:
        """What of this runtime is forwarded and reversed at this moment."""
        return tuple(
            SyncForward(self._loop, mapping)
            if isinstance(mapping, Forward)
            else SyncReverse(self._loop, mapping)
            for mapping in self._runtime.ports
        )

    @property
    def _loop(self) -> LoopThread:
        if self._thread is None:
            raise RuntimeClosed("the runtime was not started: use `with`")
        return self._thread


class SyncEventStream:
    """The event stream for readers without asyncio."""

    def __init__(self, events: EventStream, thread: LoopThread | None) -> None:
        self._events = events
        self._thread = thread

    @property
    def last_seq(self) -> int:
        """The number of the newest event; 0 when there is none."""
        return self._events.last_seq

    def since(self, seq: int = 0) -> Iterator[Event]:
        """The stored events after number `seq`, in order; ends at the newest."""
        return self._events.since(seq)

    def subscribe(self, since: int = 0, *, action_id: str | None = None) -> Iterator[Event]:
        """The events after number `since`, then each new one as it comes, until the close."""
        assert self._thread is not None
        try:
            for event in iterate(self._thread, self._events.subscribe(since, action_id=action_id)):
                since = event.seq
                yield event
        except RuntimeClosed:
            # The loop is gone and the history is not: what is left is read without it.
            yield from (
                event
                for event in self._events.since(since)
                if action_id is None or event.action_id == action_id
            )


async def _copy_to(
    runtime: EventStreamRuntime,
    source: str,
    other: EventStreamRuntime,
    target: str,
    progress: TransferProgress | None,
    options: TransferOptions,
) -> o.TransferObservation:
    """The other runtime is on another loop, so its sandbox is entered a second time from this."""
    if other is runtime:
        return await runtime.copy_to(source, runtime, target, progress=progress, **options)
    async with OperatorRuntime.beside(other.name) as beside:
        return await runtime.copy_to(source, beside, target, progress=progress, **options)


async def _nothing() -> None:
    """The last thing on the loop of a runtime that was closed already."""
