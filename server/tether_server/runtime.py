"""`EventStreamRuntime`: actions in, typed observations out, for a sandbox of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

from tether_runtime_client.protocol import auth
from tether_runtime_client.protocol.errors import (
    RuntimeClosed,
    SecretExpired,
    TransportUnavailable,
)
from tether_runtime_client.protocol.events import SandboxStarted

from .backends import Backend, Progress, Sandbox, SandboxSpec, open_backend, silent
from .backends.base import START_TIMEOUT_S, WARM_START_TIMEOUT_S, with_log
from .backends.spec_checks import check_seconds
from .calls import Calls
from .event_stream import EventStream
from .history import History
from .link import Link
from .plugins.asked import PluginsAsked, asked_plugins, check_there
from .ports import Ports
from .processes import Processes
from .readiness import Budget, Readiness
from .record import (
    SandboxRecord,
    changing_secret,
    claim_folder,
    drop_record,
    load_record,
    new_name,
    record_of,
    sandbox_folder,
    save_record,
    store_secret,
    stored_secret,
)
from .renewal import renew_for_ever
from .sidecars.asked import SidecarsAsked, asked_sidecars
from .state_problem import blame_state
from .submissions import Submissions
from .transfer import Transfers
from .transports import COMING_BACK_S, Choice, Transport, TransportSettings, choose, name_of

if TYPE_CHECKING:
    from .sync import RuntimeOptions, SyncEventStreamRuntime


class EventStreamRuntime(Calls):
    """A sandbox and the event stream to and from it.

    An async context manager: entering starts (or, from `attach`, finds) the sandbox; leaving
    frees everything, also after a failed start. With `keep=True` leaving leaves the sandbox.

    Args:
        image: the image to run; None with `backend="local"`.
        backend: `docker`, or `local` (a process on this machine, without isolation).
        inject: `build` puts the client into a copy of the image, once for each image; `mount`
            mounts it into the image as it is.
        entrypoint: what becomes of the image's own ENTRYPOINT: `skip` leaves it out; `through`
            has it run the client as its arguments, so that sessions inherit what it sets up;
            `beside` runs it, with the image's CMD, as a process whose end is an event.
        env: environment of everything that runs in the sandbox, over the image's own.
        workdir: where sessions start, which an engine makes if it is not there; the image's own
            WORKDIR when None.
        user: whom to run as, a name, uid or `uid:gid`; the image's own USER when None.
        mounts: as `host:container[:ro]`: a path of this machine, or a volume's name.
        resources: limits as the engine takes them, such as `{"mem_limit": "1g"}`.
        network: an engine network's name, or `none`.
        transport: `auto`, `unix`, `netns`, `tcp`, `exec`, `dial` or `ssh`, or settings for one
            (`Dial`, `Ssh`, `Tcp`).
        name: of the sandbox, for `attach` and `tether ps`; a random one when None.
        keep: leave the sandbox when the block is left.
        lease_s: seconds after which a sandbox without a server ends itself; None with `keep`.
        plugins: names of plugins, or a mapping of names to configurations: a plugin's own model, or
            its fields. Raises `PluginInvalid` for what is not installed here, or wrong.
        plugin_packages: packages that bring further plugins, as pip takes them, or folders.
        sidecars: plugins of which a part runs in a container of its own, or a mapping of their
            names to `{"resources": {...}}` for those containers.
        login: sessions begin with the login profile (/etc/profile, ~/.bash_profile or its like)
            instead of ~/.bashrc.
        secret_lifetime_s: seconds, 1 at least, after which the sandbox takes no new connection by
            a secret; a runtime that is connected changes it well before. None: until it is changed.
        start_timeout_s: how long a fresh sandbox may take until its client answers; a slow
            ENTRYPOINT that the client runs `through` counts.
        progress: told in short sentences what a person would be waiting for.
    """

    def __init__(
        self,
        image: str | None = None,
        *,
        backend: str = "docker",
        env: Mapping[str, str] | None = None,
        workdir: str | None = None,
        user: str | int | None = None,
        mounts: Sequence[str] = (),
        resources: Mapping[str, object] | None = None,
        network: str | None = None,
        transport: TransportSettings = "auto",
        name: str | None = None,
        keep: bool = False,
        lease_s: float = 60.0,
        inject: str = "build",
        entrypoint: str = "skip",
        plugins: PluginsAsked = (),
        plugin_packages: Sequence[str] = (),
        sidecars: SidecarsAsked = (),
        login: bool = False,
        secret_lifetime_s: float | None = None,
        start_timeout_s: float = START_TIMEOUT_S,
        progress: Progress = silent,
    ) -> None:
        check_seconds("start_timeout_s", start_timeout_s)
        self._start_timeout_s = start_timeout_s
        self.name = name or new_name()
        self._backend: Backend = open_backend(backend)
        self._progress = progress
        self._keep = keep
        self._record: SandboxRecord | None = None
        self._takeover = False
        self._sandbox: Sandbox | None = None
        self._history: History | None = None
        self._events: EventStream | None = None
        self._submissions: Submissions | None = None
        self._choice: Choice | None = None
        self._link: Link | None = None
        self._transfers: Transfers | None = None
        self._spawned = Processes(self)
        self._mapped = Ports(self, self.name)
        self._renewal: asyncio.Task[None] | None = None
        self._closed = False
        self._spec = SandboxSpec(
            name=self.name,
            folder=sandbox_folder(self.name),
            secret=auth.new_secret(),
            image=image,
            env=dict(env or {}),
            workdir=workdir,
            user=None if user is None else str(user),
            mounts=tuple(mounts),
            resources=dict(resources or {}),
            network=network,
            transport=transport,
            keep=keep,
            lease_s=None if keep else lease_s,
            inject=inject,
            entrypoint=entrypoint,
            plugins=(asked := asked_plugins(plugins, plugin_packages)),
            plugin_packages=tuple(plugin_packages),
            sidecars=asked_sidecars(sidecars, asked),
            login=login,
            secret_lifetime_s=secret_lifetime_s,
        )

    @classmethod
    def attach(
        cls,
        name: str,
        *,
        takeover: bool = False,
        transport: str | None = None,
        start_timeout_s: float = WARM_START_TIMEOUT_S,
        progress: Progress = silent,
    ) -> EventStreamRuntime:
        """A runtime for the sandbox of that name, with its history; enter it to connect.

        It is reached as it was, or by another `transport` that it was set up for (`auto` tries
        each): one that broke holds up nothing but itself. `start_timeout_s` is how long it may
        take until its client answers; one that was restarted has to come up first.

        Raises `SandboxNotFound` when none is known. Entering raises `ControllerBusy` while another
        server controls the sandbox and answers; `takeover=True` replaces it.
        """
        record = load_record(name)
        runtime = cls(
            record.image,
            backend=record.backend,
            name=name,
            keep=record.keep,
            transport=transport or record.transport,
            start_timeout_s=start_timeout_s,
            progress=progress,
        )
        runtime._record = record
        runtime._spec = replace(
            runtime._spec,
            secret=record.secret,
            secret_lifetime_s=record.secret_lifetime_s,
            plugins=record.plugins,
            plugin_packages=record.plugin_packages,
        )
        runtime._takeover = takeover
        return runtime

    @classmethod
    def sync(
        cls, image: str | None = None, **options: Unpack[RuntimeOptions]
    ) -> SyncEventStreamRuntime:
        """The same runtime for code that does not use asyncio."""
        from .sync import SyncEventStreamRuntime

        return SyncEventStreamRuntime(image, **options)

    # --- lifetime

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """What entering the block does. A failed start frees what it had made."""
        attaching = self._record
        try:
            if attaching is None:
                await self._start_new()
            else:
                await self._find(attaching)
        except BaseException as problem:
            await self.close(keep=attaching is not None)
            blame_state(problem)
            raise

    async def close(self, *, keep: bool | None = None) -> None:
        """What leaving the block does; `keep` overrides the runtime's own. Twice is safe."""
        self._closed = True
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)
        keep = self._keep if keep is None else keep
        await self._mapped.close()
        await self._spawned.close()
        if self._submissions is not None:
            self._submissions.save()
        if self._link is not None:
            await self._link.close()
        try:
            await self._leave_sandbox(keep=keep)
        finally:
            if self._submissions is not None and self._history is not None:
                self._submissions.close()
                self._history.close()
            await self._backend.close()

    # --- the event stream

    @property
    def events(self) -> EventStream:
        """Every event of the sandbox; stays readable after the runtime is closed."""
        if self._events is None:
            raise RuntimeClosed("the runtime was not started: use `async with`")
        return self._events

    @property
    def connection(self) -> str:
        """The transport in use, where it leads and why it was chosen, for people."""
        return str(self._choice) if self._choice else "not connected"

    def cut_connection(self) -> None:
        """Drop the connections for events, processes, transfers and the mappings of ports, as a
        broken network would: a drill. Nothing is lost by it.
        """
        self._cut_bulk()
        if self._link is not None:
            self._link.cut()

    async def rotate_secret(self) -> None:
        """Change the sandbox's secret; neither the former nor the new one is sent for that.

        Returns when the sandbox refuses the former. What runs goes on, and so does this
        connection; others to the sandbox end, and come back by the new one, which they find in the
        sandbox's record. Whoever is killed meanwhile, here or there, is not locked out.

        Raises `RotationFailed` when it was not changed, or the sandbox has not confirmed it yet.
        """
        if self._link is None or self._closed:
            raise RuntimeClosed("the runtime is not connected: use `async with`")
        with changing_secret(self.name):
            await self._link.rotate(partial(store_secret, self.name))

    # --- inside

    @property
    def _active(self) -> Submissions:
        if self._submissions is None or self._link is None:
            raise RuntimeClosed("the runtime was not started: use `async with`")
        if self._closed:
            raise RuntimeClosed("the runtime is closed")
        return self._submissions

    @property
    def _bulk(self) -> Transfers:
        if self._transfers is None:
            raise RuntimeClosed("the runtime was not started: use `async with`")
        return self._transfers

    @property
    def _asked_for(self) -> str:
        return name_of(self._spec.transport)

    @property
    def _processes(self) -> Processes:
        return self._spawned

    @property
    def _mappings(self) -> Ports:
        return self._mapped

    async def _start_new(self) -> None:
        folder = claim_folder(self.name)
        try:
            self._open_history(folder)
        except BaseException:
            drop_record(self.name)
            raise
        assert self._submissions is not None
        self._submissions.own()
        readiness = self._begin_start("cold")
        self._sandbox = await self._backend.start(self._spec, readiness.tell)
        check_there(self._spec.plugins, self._sandbox.plugins)
        self._save_record(self._sandbox)
        await self._connect(self._sandbox, readiness)
        await self._take_control(self._sandbox, attached=False)

    async def _find(self, record: SandboxRecord) -> None:
        self._open_history(sandbox_folder(record.name))
        readiness = self._begin_start("warm")
        readiness.tell(f"looking for sandbox {record.name}")
        self._sandbox = await self._backend.attach(record)
        self._sandbox.plugins = record.plugin_versions
        await self._connect(self._sandbox, readiness)
        self._save_record(self._sandbox)
        await self._take_control(self._sandbox, attached=True)

    def _open_history(self, folder: Path) -> None:
        self._history = History(folder / "history.sqlite3")
        self._events = EventStream(self._history)
        self._submissions = Submissions(self._history, self._events)

    def _begin_start(self, budget: Budget) -> Readiness:
        assert self._submissions is not None
        limit = self._start_timeout_s
        return Readiness(budget, limit, self._progress, self._submissions.progress_made)

    async def _connect(self, sandbox: Sandbox, readiness: Readiness) -> None:
        assert self._submissions is not None
        started = SandboxStarted(
            name=self.name,
            backend=sandbox.backend,
            image=sandbox.image,
            attached=readiness.budget == "warm",
        )
        try:
            async with asyncio.timeout(readiness.limit_s):
                readiness.tell("waiting for the runtime client to come up")
                await sandbox.ready()
                readiness.tell("looking for a way to the runtime client")
                self._choice = await choose(
                    self._asked_for,
                    sandbox.transports(),
                    self._present_secret(),
                    patience_s=COMING_BACK_S if readiness.budget == "warm" else 0.0,
                )
                transport = self._choice.transport
                self._link = self._make_link(sandbox, transport)
                self._submissions.bind(self._link, self._choice.why, started)
                self._transfers = Transfers(self._follow, transport)
                readiness.tell(f"taking over what there is, by {transport.name}")
                await self._link.start()
        except TimeoutError:
            failed = await sandbox.start_failed(readiness.too_long)
            raise readiness.timeout(failed) from None
        except SecretExpired as refusal:
            hint = sandbox.when_expired(self.name)
            raise SecretExpired(refusal.message, hint=hint) from None
        except TransportUnavailable as problem:
            if await sandbox.ended() is None:
                raise with_log(problem, sandbox.log_tail().strip()) from None
            raise await sandbox.start_failed(problem.message) from None
        except OSError as problem:
            raise await sandbox.start_failed(str(problem)) from None

    def _make_link(self, sandbox: Sandbox, transport: Transport) -> Link:
        assert self._submissions is not None
        return Link(
            transport,
            self._present_secret,
            self._submissions,
            sandbox.ended,
            takeover=self._takeover,
            on_silent=self._cut_bulk,
        )

    def _cut_bulk(self) -> None:
        """All that is not the event connection; each is made anew."""
        self._spawned.cut()
        self._mapped.cut()
        if self._transfers is not None:
            self._transfers.cut()

    def _save_record(self, sandbox: Sandbox) -> None:
        created = self._record.created if self._record else None
        self._record = save_record(record_of(self._spec, sandbox, created))

    async def _take_control(self, sandbox: Sandbox, *, attached: bool) -> None:
        """What the controller does beside the event stream, and nobody else."""
        submissions = self._submissions
        assert submissions is not None
        sandbox.controlled(submissions.record, submissions.in_control)
        if sandbox.plugins:
            from .plugins.versions import compared_with_here

            for warning in await asyncio.to_thread(compared_with_here, sandbox.plugins):
                submissions.record(warning)
        if (lifetime_s := self._spec.secret_lifetime_s) is not None:
            renewing = renew_for_ever(self.rotate_secret, lifetime_s, at_once=attached)
            self._renewal = asyncio.create_task(renewing, name="tether secret")

    def _present_secret(self) -> str:
        """The stored one: any process of this machine may have changed it."""
        return stored_secret(self.name, self._spec.secret)

    async def _leave_sandbox(self, *, keep: bool) -> None:
        sandbox, self._sandbox = self._sandbox, None
        if sandbox is None:
            if self._record is None and self._history is not None:
                drop_record(self.name)
            return
        if keep:
            await sandbox.release()
            return
        await sandbox.stop()
        if self._submissions is not None:
            self._submissions.stopped()
        drop_record(self.name)
