"""What can be asked of a runtime: any action, and in one call each what takes more than one."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, Unpack, overload

from pydantic import ValidationError

from tether_runtime_client.protocol import actions as a
from tether_runtime_client.protocol import observations as o
from tether_runtime_client.protocol import tree_actions as t
from tether_runtime_client.protocol.bulk_io import TransferProgress
from tether_runtime_client.protocol.errors import (
    ActionCancelled,
    InvalidAction,
    NotCancellable,
    RuntimeClosed,
    SandboxGone,
)
from tether_runtime_client.protocol.events import (
    CmdOutputDelta,
    Event,
    ExecOutputDelta,
    FilesChanged,
    OpaqueEvent,
    OutputOmitted,
    PluginEvent,
    PluginEventsOmitted,
    WatchOverflow,
    WatchReady,
)
from tether_runtime_client.protocol.exec_actions import (
    ExecAttachAction,
    ExecEntry,
    ListExecsAction,
)
from tether_runtime_client.protocol.limits import EXEC_INLINE_LIMIT
from tether_runtime_client.protocol.plugin_actions import ListPluginsAction, PluginAction
from tether_runtime_client.protocol.plugin_observations import (
    PluginInfo,
    PluginObservation,
)

from .answers import answer_to
from .plugins.ports import is_plugin_port, plugin_port
from .ports.options import ForwardOptions, ReverseOptions
from .spawn_options import SpawnOptions, start_action
from .submissions import Submissions, new_action_id
from .transfer_rules import Rules, TransferOptions

if TYPE_CHECKING:
    from .event_stream import EventStream
    from .ports import Forward, Ports, Reverse
    from .process import Process
    from .processes import Processes
    from .skills import Skills
    from .transfer import Transfers

P = TypeVar("P", bound=PluginObservation)

Streamed = (
    CmdOutputDelta
    | ExecOutputDelta
    | OutputOmitted
    | PluginEvent
    | OpaqueEvent
    | PluginEventsOmitted
    | o.Observation
)
"""What comes of an action while it runs, and at its end."""

ShellAction = a.CmdRunAction | a.CmdInputAction | a.CmdInterruptAction | a.CmdPollAction


class Calls(ABC):
    """The part of a runtime that takes actions; whoever inherits it brings the sandbox."""

    @property
    @abstractmethod
    def events(self) -> EventStream:
        """Every event of the sandbox."""

    @property
    @abstractmethod
    def _active(self) -> Submissions:
        """Where actions go; raises `RuntimeClosed` before the start and after the end."""

    @property
    @abstractmethod
    def _bulk(self) -> Transfers:
        """What moves bytes; raises `RuntimeClosed` before the start."""

    @property
    @abstractmethod
    def _processes(self) -> Processes:
        """What was spawned and is still connected."""

    @property
    @abstractmethod
    def _mappings(self) -> Ports:
        """The ports that are forwarded or reversed."""

    @overload
    async def run(
        self, action: ShellAction, *, id: str | None = None
    ) -> o.CmdOutputObservation: ...
    @overload
    async def run(self, action: a.ExecAction, *, id: str | None = None) -> o.ExecObservation: ...
    @overload
    async def run(
        self, action: ExecAttachAction, *, id: str | None = None
    ) -> o.ExecAttachedObservation: ...
    @overload
    async def run(
        self, action: ListExecsAction, *, id: str | None = None
    ) -> o.ListExecsObservation: ...
    @overload
    async def run(
        self, action: a.SessionResetAction, *, id: str | None = None
    ) -> o.SessionResetObservation: ...
    @overload
    async def run(
        self, action: a.ScreenReadAction, *, id: str | None = None
    ) -> o.ScreenObservation: ...
    @overload
    async def run(
        self, action: a.FileReadAction, *, id: str | None = None
    ) -> o.FileReadObservation: ...
    @overload
    async def run(
        self, action: a.FileWriteAction, *, id: str | None = None
    ) -> o.FileWriteObservation: ...
    @overload
    async def run(
        self, action: a.FileEditAction, *, id: str | None = None
    ) -> o.FileEditObservation: ...
    @overload
    async def run(
        self, action: a.ListFilesAction, *, id: str | None = None
    ) -> o.ListFilesObservation: ...
    @overload
    async def run(
        self, action: a.ListProcessesAction, *, id: str | None = None
    ) -> o.ListProcessesObservation: ...
    @overload
    async def run(
        self, action: t.FileStatAction, *, id: str | None = None
    ) -> o.FileStatObservation: ...
    @overload
    async def run(
        self, action: t.FindFilesAction, *, id: str | None = None
    ) -> o.FindFilesObservation: ...
    @overload
    async def run(self, action: t.GrepAction, *, id: str | None = None) -> o.GrepObservation: ...
    @overload
    async def run(
        self, action: t.DiskUsageAction, *, id: str | None = None
    ) -> o.DiskUsageObservation: ...
    @overload
    async def run(
        self, action: a.PortForwardAction | a.PortReverseAction, *, id: str | None = None
    ) -> o.PortReadyObservation: ...
    @overload
    async def run(
        self, action: t.FileWatchAction, *, id: str | None = None
    ) -> o.FileWatchObservation: ...
    @overload
    async def run(
        self, action: ListPluginsAction, *, id: str | None = None
    ) -> o.ListPluginsObservation: ...
    @overload
    async def run(self, action: PluginAction[P], *, id: str | None = None) -> P: ...
    @overload
    async def run(self, action: a.Action, *, id: str | None = None) -> o.Observation: ...

    async def run(self, action: a.Action, *, id: str | None = None) -> o.Observation:
        """Run an action and return its observation; raises the `ActionError` it ended in.

        The action is stored under `id` (a random one when None) before it is sent. Running the
        same id again, in this process or a later one, never runs the action again: it returns
        the observation, as soon as there is one. A cancelled `run` leaves the action running.
        That of a plugin's action is of the class in the brackets of the action's own.
        """
        return answer_to(action, await self._active.submit(action, id).answer)

    async def stream(self, action: a.Action, *, id: str | None = None) -> AsyncIterator[Streamed]:
        """Run an action; yields its output as it comes, then its observation. Raises as `run`.

        Of a plugin's action the plugin's own events come, opaque where its package is not here.
        """
        shown = (
            *(CmdOutputDelta, ExecOutputDelta, OutputOmitted),
            *(PluginEvent, OpaqueEvent, PluginEventsOmitted, o.Observation),
        )
        async with aclosing(self._follow(action, id)) as events:
            async for event in events:
                if isinstance(event, shown):
                    yield event

    async def watch(
        self,
        path: str,
        *,
        recursive: bool = False,
        exclude: Sequence[str] = (),
    ) -> AsyncIterator[WatchReady | FilesChanged | WatchOverflow]:
        """Yield what changes at a path, until it goes away or the iteration is closed.

        First comes `WatchReady`: nothing is missed from then on. Leaving the iteration ends the
        watch (use `contextlib.aclosing`, which closes it at once). Raises as `run`.
        """
        action = t.FileWatchAction(path=path, recursive=recursive, exclude=tuple(exclude))
        id = new_action_id()
        try:
            async with aclosing(self._follow(action, id)) as events:
                async for event in events:
                    if isinstance(event, WatchReady | FilesChanged | WatchOverflow):
                        yield event
        finally:
            with suppress(NotCancellable, ActionCancelled, RuntimeClosed, SandboxGone):
                await self.run(t.CancelAction(target_id=id))

    async def exec(
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
        """Run a process without a terminal: a list of arguments, or text for `sh -c`.

        `stdout` and `stderr` of the observation are whole, however long, and the bytes exact. Of
        long ones the history has the first 256 KiB, and where in the sandbox the rest is.
        """
        is_text = isinstance(command, str)
        action = a.ExecAction(
            argv=None if is_text else tuple(command),
            command=command if isinstance(command, str) else None,
            stdin=stdin,
            env=dict(env) if env is not None else None,
            cwd=cwd,
            user=user,
            group=group,
            umask=umask,
            nice=nice,
            timeout_s=timeout_s,
            event_limit=EXEC_INLINE_LIMIT,
        )
        return await self._bulk.complete(await self.run(action))

    async def spawn(
        self,
        command: Sequence[str] | str = (),
        *,
        id: str | None = None,
        **options: Unpack[SpawnOptions],
    ) -> Process:
        """Start a process and return a handle on it at once: a list of arguments, or text for `sh`.

        `SpawnOptions` says how it can be started. Raises what keeps it from starting: a
        `ProcessError`, such as `CommandNotFound`, `WorkingDirectoryMissing`, `UnknownUser`. An
        `id` that was given before starts nothing and finds the process.
        """
        return await self._processes.spawn(start_action(command, options), id)

    async def process(self, id: str) -> Process:
        """A handle on a process that was spawned, by this server or another, taken from whoever
        had it; raises `NoSuchProcess`.

        A detached one's output comes from its beginning, another's from what nobody has taken.
        """
        return await self._processes.find(id)

    async def processes(self) -> tuple[ExecEntry, ...]:
        """The spawned processes of the sandbox: the newest that have ended, then what runs."""
        observation = await self.run(ListExecsAction())
        return observation.execs

    async def forward(self, target: int | str, **options: Unpack[ForwardOptions]) -> Forward:
        """Make a port inside reachable here, or a UNIX socket by its path; loopback's ones too.

        `ForwardOptions` says where it is to be had; with none it is a free port of the loopback,
        and `str()` of the result its URL. A port is forwarded to an address once: who asks again
        gets the same `Forward`. Raises `PortTaken` where something else is there (it says what),
        `PortUnprotected` without a token or TLS where other machines reach it, and `PortUnusable`.
        A port that a plugin declares has a name as well: `weather.map`.
        """
        self._active  # noqa: B018  raises where there is nothing to ask
        if isinstance(target, str) and is_plugin_port(target):
            target = await plugin_port(self, target)
        return await self._mappings.forward(target, options)

    async def reverse(self, target: int | str, **options: Unpack[ReverseOptions]) -> Reverse:
        """Make a port of here, or a UNIX socket by its path, reachable inside: that and no other.

        `ReverseOptions` says where it is to be had inside; with none it is the same number on the
        sandbox's loopback. Raises `PortTaken` and `PortUnusable` as the sandbox says.
        """
        self._active  # noqa: B018
        return await self._mappings.reverse(target, options)

    @property
    def ports(self) -> tuple[Forward | Reverse, ...]:
        """What of this runtime is forwarded and reversed at this moment."""
        return self._mappings.all

    async def plugins(self, *, health: bool = False) -> tuple[PluginInfo, ...]:
        """The plugins of the sandbox; with `health` each one that runs is asked how it is.

        None is started for it.
        """
        return (await self.run(ListPluginsAction(health=health))).plugins

    async def skills(self) -> Skills:
        """The agent's skills in the sandbox: typed entries, and `str()` of it for a prompt.

        Raises `PluginMissing` where the sandbox has no plugin `agent_skills`.
        """
        from tether_runtime_client.protocol.skills import ListSkillsAction

        from .skills import Skills

        return Skills.of(await self.run(ListSkillsAction()))

    async def add_skills(self, source: str | os.PathLike[str]) -> Skills:
        """Make the functions of a module or package skills of the agent, at once; returns those.

        `source` is a file `NAME.py` or a package's folder here, which is copied into the sandbox;
        adding it again replaces it. Without a slash and a `.py` it is the name of a
        module that the sandbox has: in a session's folder, or where its `python3` looks. Raises
        `InvalidAction` for what is no module here, and an `ActionError` for what is none there.
        """
        from .skills import add_skills

        return await add_skills(self, source)

    async def set_env(self, env: Mapping[str, str | None]) -> None:
        """Set variables of everything that starts in the sandbox; None takes one away.

        Execs and new sessions have them from now on, sessions that are there from their next
        command on, also after a reset, when the client is started anew, and for who attaches
        later. Raises `InvalidAction` for a name that no shell can set, and for more than a
        program can be given.
        """
        try:
            action = a.SetEnvAction(env=dict(env))
        except ValidationError as problem:
            name = problem.errors()[0]["loc"][1]
            raise InvalidAction(
                f"{name!r} is no variable name a shell can set, or its value no text without NUL",
                hint="Names are letters, digits and underscores; others can go into exec's env=",
            ) from None
        await self.run(action)

    async def upload(
        self,
        source: str | os.PathLike[str],
        target: str,
        *,
        progress: TransferProgress | None = None,
        **options: Unpack[TransferOptions],
    ) -> o.TransferObservation:
        """Copy a file or a folder's tree into the sandbox, under the name `target`.

        A tree is merged into a folder that is there already. `TransferOptions` says what can be
        chosen: `links`, `owner`, `xattrs`, `include`, `exclude`. `progress` is called with the
        bytes that have crossed, and with their number in all or None where that is not known. The
        `notes` of the observation tell what was not copied like the rest.
        """
        rules = Rules.of(**options)
        return await self._bulk.upload(Path(source), target, rules=rules, progress=progress)

    async def download(
        self,
        source: str,
        target: str | os.PathLike[str],
        *,
        progress: TransferProgress | None = None,
        **options: Unpack[TransferOptions],
    ) -> o.TransferObservation:
        """Copy a file or a folder's tree out of the sandbox; otherwise as `upload`."""
        rules = Rules.of(**options)
        return await self._bulk.download(source, Path(target), rules=rules, progress=progress)

    async def copy_to(
        self,
        source: str,
        other: Calls,
        target: str,
        *,
        progress: TransferProgress | None = None,
        **options: Unpack[TransferOptions],
    ) -> o.TransferObservation:
        """Copy a file or a folder's tree to another sandbox, or within this one; as `upload`.

        What crosses passes through this process and is kept nowhere.
        """
        rules = Rules.of(**options)
        return await self._bulk.copy_to(source, other._bulk, target, rules=rules, progress=progress)

    async def _follow(self, action: a.Action, id: str | None = None) -> AsyncGenerator[Event, None]:
        """Run an action; yields every event about it, its observation last. Raises as `run`."""
        since = 0 if id else self.events.last_seq
        submission = self._active.submit(action, id)
        id, answer = submission.action_id, submission.answer
        async for event in self.events.subscribe(since, action_id=id, until=answer):
            if isinstance(event, o.Observation):
                yield answer_to(action, event)
                return
            yield event
        if submission.answer.cancelled():
            raise RuntimeClosed("the runtime was closed while the action ran")
        yield answer_to(action, submission.answer.result())
