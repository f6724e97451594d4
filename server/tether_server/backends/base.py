"""What a backend is: start, find and stop a place where the runtime client runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from pydantic import JsonValue

from tether_runtime_client.protocol.errors import StartFailed, TransportUnavailable
from tether_runtime_client.protocol.event import Event

from ..link import Ended
from ..record import SandboxRecord
from ..transports import Transport, TransportSettings, name_of
from .spec_checks import (
    check_env,
    check_lifetime,
    check_mount_forms,
    check_resources,
    check_seconds,
)

if TYPE_CHECKING:
    from ..sidecars.plan import SidecarPlan

Progress = Callable[[str], None]
"""Told in a short sentence what a person would be waiting for."""


def silent(message: str) -> None:
    """Show no progress."""


INJECTS = ("build", "mount")
TRANSPORTS = ("auto", "unix", "netns", "tcp", "exec", "dial", "ssh")
ENTRYPOINTS = ("through", "beside", "skip")
START_TIMEOUT_S = 60.0
"""How long a fresh sandbox may take until its client answers, where nothing else is asked."""

WARM_START_TIMEOUT_S = 30.0
"""The same of one that is found: its client runs, or has only to be given its secret."""


_WAYS = {"inject": INJECTS, "entrypoint": ENTRYPOINTS, "transport": TRANSPORTS}


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """Everything a backend needs to start one sandbox. `folder` is the sandbox's own, mode 0700."""

    name: str
    folder: Path
    secret: str
    image: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str | None = None
    user: str | None = None
    mounts: Sequence[str] = ()
    resources: Mapping[str, object] = field(default_factory=dict)
    network: str | None = None
    transport: TransportSettings = "auto"
    keep: bool = False
    lease_s: float | None = 60.0
    secret_lifetime_s: float | None = None
    inject: str = "build"
    entrypoint: str = "skip"
    plugins: Mapping[str, Mapping[str, JsonValue]] = field(default_factory=dict)
    plugin_packages: Sequence[str] = ()
    sidecars: Mapping[str, Mapping[str, JsonValue]] = field(default_factory=dict)
    login: bool = False

    def __post_init__(self) -> None:
        """Raises `ValueError` for what there is not, or cannot be."""
        for name, ways in _WAYS.items():
            value = name_of(getattr(self, name))
            if value not in ways:
                raise ValueError(f"there is no {name} {value!r}; there are {', '.join(ways)}")
        check_lifetime(self.secret_lifetime_s)
        if self.lease_s is not None:
            check_seconds("lease_s", self.lease_s)
        if self.image == "":
            raise ValueError("the image has no name: give one, such as 'debian:bookworm'")
        check_env(self.env)
        check_mount_forms(self.mounts)
        if self.resources:
            check_resources(self.resources)
        if self.sidecars:
            _check_shared(self)


def _check_shared(spec: SandboxSpec) -> None:
    """A sidecar has what it shares with the sandbox's container, and with nobody else."""
    if spec.network == "host" or (spec.network or "").startswith("container:"):
        raise ValueError("a sidecar listens in its sandbox's network: it needs one of its own")
    if "pid_mode" in spec.resources:
        raise ValueError("a sidecar ends with its sandbox's processes: leave out pid_mode")


def plugin_config(spec: SandboxSpec) -> list[str]:
    """The client's option with the plugins' configurations, if there are any."""
    if not any(spec.plugins.values()):
        return []
    from ..plugins.asked import encoded_config

    return ["--plugin-config", encoded_config(spec.plugins)]


class Sandbox(ABC):
    """A started place. Made by `Backend.start` or `Backend.attach`; used by one runtime."""

    backend: str
    image: str | None
    transport: TransportSettings
    """What was asked for, completed by what was found at the start."""
    plugins: Mapping[str, str] = MappingProxyType({})
    """The versions of the plugins that it was made with, by name."""

    @property
    @abstractmethod
    def handle(self) -> dict[str, str]:
        """What `Backend.attach` needs to find it again, as plain strings for the record."""

    @abstractmethod
    def transports(self) -> Sequence[Transport]:
        """The transports this sandbox was set up for, the best first; the sandbox closes them."""

    @abstractmethod
    async def ready(self) -> None:
        """Return when the client says that it listens, or when it ended without saying so."""

    @abstractmethod
    async def ended(self) -> Ended | None:
        """How the sandbox ended, or None while it lives. Cheap; called after a lost connection.

        One that may be started again is `down`, and one that was is `restarted`, told once.
        """

    @abstractmethod
    def log_tail(self) -> str:
        """The last lines the client wrote, bounded; hostile text."""

    async def start_failed(self, reason: str) -> StartFailed:
        """The error for a client that did not come up; `reason` is what was seen of it."""
        ended = await self.ended()
        return not_come_up(ended.reason if ended else reason, self.log_tail().strip())

    def when_expired(self, name: str) -> str:
        """What to do once the secret of this sandbox, of that name, is too old: a hint."""
        return f"Remove it (`tether rm {name}`) and start another: nothing hands it a secret anew"

    @abstractmethod
    def controlled(self, tell: Callable[[Event], None], still: Callable[[], bool]) -> None:
        """This server controls it from now on, while `still` says so, and is told here what happens
        beside the client.
        """

    @property
    def sidecars(self) -> tuple[SidecarPlan, ...]:
        """What runs in containers of its own beside it."""
        return ()

    @abstractmethod
    async def stop(self) -> None:
        """End it and free everything it holds, within seconds. Twice is safe."""

    @abstractmethod
    async def release(self) -> None:
        """Let go of it without stopping it. Twice is safe."""


class Backend(ABC):
    """Called by one runtime. `close` comes last, always."""

    name: str

    @abstractmethod
    async def start(self, spec: SandboxSpec, progress: Progress) -> Sandbox:
        """Start a sandbox; when that fails, everything it had made is gone again."""

    @abstractmethod
    async def attach(self, record: SandboxRecord) -> Sandbox:
        """Find a running sandbox again; raises `SandboxNotFound` when it is gone."""

    @abstractmethod
    async def close(self) -> None:
        """Free the backend's own connections. Twice is safe."""


DOCTOR = (
    "`tether doctor` checks this machine; a slow one may need a longer start_timeout_s "
    "(--start-timeout)"
)


def with_log(problem: TransportUnavailable, log: str) -> TransportUnavailable:
    """The error for a client that runs and is not reached; `log` is the end of what it wrote."""
    if not log:
        return problem
    message = f"{problem.message}; the last lines of its log:\n{log}\n"
    return TransportUnavailable(message, hint=problem.hint, **problem.data, log=log)


def not_come_up(reason: str, log: str, hint: str = DOCTOR) -> StartFailed:
    """The error for a client that was started; `log` is the end of what it wrote."""
    wrote = f"; the last lines of its log:\n{log}\n" if log else "; it logged nothing"
    return StartFailed(
        f"the runtime client did not come up: {reason}{wrote}",
        hint=hint,
        log=log,
    )
