"""A process on this machine: the embedded default, which needs nothing but this package.

There is no isolation: actions run as this user, on this machine.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from tether_runtime_client.protocol.defaults import DEFAULT_ENVIRONMENT
from tether_runtime_client.protocol.errors import PluginInvalid, SandboxNotFound, StartFailed
from tether_runtime_client.protocol.event import Event

from ..link import Ended
from ..record import SandboxRecord, process_start
from ..transports import Transport, UnixTransport, name_of
from .base import Backend, Progress, Sandbox, SandboxSpec, plugin_config
from .client_log import ClientLog
from .sandbox_end import ended_with

STOP_TIMEOUT_S = 12.0
STOP = signal.SIGRTMIN + 3
"""Real-time signals queue up: this one is not lost beside a SIGTERM that a command sends."""
LOG_TAIL = 16 * 1024
CLIENTS_OWN = ("pexpect", "pyte")
"""What the client needs beside what the server has: in an image its environment brings them."""


class LocalBackend(Backend):
    """Runs `tether-runtime-client supervise` from this Python environment."""

    name = "local"

    async def start(self, spec: SandboxSpec, progress: Progress) -> Sandbox:
        """Start the supervisor in a session of its own, with the secret on its standard input."""
        _refuse_container_options(spec)
        _check_packages()
        _check_workdir(spec.workdir)
        _collect_ended()
        plugins = _put_plugins(spec) if spec.plugins else {}
        (spec.folder / "socket").mkdir(mode=0o700)
        ready, told = os.pipe()
        try:
            process = _spawn(spec, told)
        except BaseException:
            os.close(ready)
            raise
        finally:
            os.close(told)
        sandbox = LocalSandbox(spec.folder, process.pid, process, ready)
        sandbox.plugins = plugins
        return sandbox

    async def attach(self, record: SandboxRecord) -> Sandbox:
        """Find the supervisor by its pid and start time."""
        pid = int(record.handle["pid"])
        if process_start(pid) != int(record.handle["start"]):
            raise SandboxNotFound(f"the process of sandbox {record.name!r} has ended")
        return LocalSandbox(Path(record.handle["folder"]), pid)

    async def close(self) -> None:
        """Nothing is held."""


class LocalSandbox(Sandbox):
    """A supervisor process and what descends from it."""

    backend = "local"
    image = None
    transport = "unix"

    def __init__(
        self,
        folder: Path,
        pid: int,
        process: subprocess.Popen[bytes] | None = None,
        ready: int = -1,
    ) -> None:
        self._folder = folder
        self._unix = UnixTransport(folder / "socket" / "client.sock")
        self._pid = pid
        self._start = process_start(pid) or -1  # it may have ended already
        self._process = process
        self._ready = ready

    @property
    def handle(self) -> dict[str, str]:
        """Pid, start time and folder."""
        return {"pid": str(self._pid), "start": str(self._start), "folder": str(self._folder)}

    def transports(self) -> Sequence[Transport]:
        """A UNIX socket; a process on this machine needs nothing else."""
        return (self._unix,)

    async def ready(self) -> None:
        """Wait for its word on the pipe it was given; an attached one is taken to be ready."""
        if self._ready >= 0:
            await readable(self._ready)
            self._close_ready()

    async def ended(self) -> Ended | None:
        """Its exit code, when it is our child."""
        if not self._exited and process_start(self._pid) == self._start:
            return None
        code = self._process.returncode if self._process is not None else None
        if code is not None and code < 0:
            code = 128 - code
        return ended_with("the local runtime client", code)

    def log_tail(self) -> str:
        """What the supervisor and the client wrote last."""
        log = ClientLog()
        with (self._folder / "client.log").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_TAIL))
            log.write(file.read(LOG_TAIL))
        return log.tail()

    def controlled(self, tell: Callable[[Event], None], still: Callable[[], bool]) -> None:
        """Nothing runs beside it."""

    async def stop(self) -> None:
        """A stop signal to the supervisor, which ends all below it; SIGKILL if it does not."""
        self._signal(STOP)
        if not await self._wait_exit(STOP_TIMEOUT_S):
            self._signal(signal.SIGKILL)
            await self._wait_exit(STOP_TIMEOUT_S)
        await self.release()

    async def release(self) -> None:
        """Close the pipe; a child that is to live on is nobody's to wait for."""
        self._close_ready()
        if self._process is not None and self._process.poll() is None:
            _left_running.append(self._process)

    def _close_ready(self) -> None:
        if self._ready >= 0:
            os.close(self._ready)
            self._ready = -1

    @property
    def _exited(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def _signal(self, number: int) -> None:
        if process_start(self._pid) == self._start:
            os.kill(self._pid, number)

    async def _wait_exit(self, timeout_s: float) -> bool:
        """Wait by pidfd: it works for a process that is not our child too."""
        if self._exited or process_start(self._pid) != self._start:
            return True
        descriptor = os.pidfd_open(self._pid)
        try:
            async with asyncio.timeout(timeout_s):
                await readable(descriptor)
        except TimeoutError:
            return False
        finally:
            os.close(descriptor)
        return self._exited or self._process is None


async def readable(descriptor: int) -> None:
    """Return when the descriptor can be read, or is at its end."""
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    loop.add_reader(descriptor, event.set)
    try:
        await event.wait()
    finally:
        loop.remove_reader(descriptor)


_TERMINAL_SIZE = ("LINES", "COLUMNS")
"""Of our own terminal, if any: a session's programs would take them for theirs, whatever it has."""

_left_running: list[subprocess.Popen[bytes]] = []
"""Children that were released to live on; each start collects those that have ended."""


def _collect_ended() -> None:
    _left_running[:] = [process for process in _left_running if process.poll() is None]


def _spawn(spec: SandboxSpec, told: int) -> subprocess.Popen[bytes]:
    with (spec.folder / "client.log").open("wb") as log:
        process = subprocess.Popen(
            [*_command(spec), "--ready-fd", str(told)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**_inherited(), **spec.env},
            cwd=spec.workdir,
            start_new_session=True,
            pass_fds=[told],
        )
    assert process.stdin is not None
    with process.stdin:
        process.stdin.write(spec.secret.encode() + b"\n")
    return process


def _inherited() -> dict[str, str]:
    """Ours, but for what is about a person at this machine: pagers, editors, a terminal's size."""
    left_out = {*DEFAULT_ENVIRONMENT, *_TERMINAL_SIZE}
    return {name: value for name, value in os.environ.items() if name not in left_out}


def _command(spec: SandboxSpec) -> list[str]:
    folder = spec.folder
    lifetime = spec.secret_lifetime_s
    lease = [] if spec.lease_s is None else ["--lease", str(spec.lease_s)]
    return [
        sys.executable,
        "-m",
        "tether_runtime_client",
        "supervise",
        "--",
        "--unix",
        str(folder / "socket" / "client.sock"),
        "--run-dir",
        str(folder / "run"),
        *lease,
        *([] if lifetime is None else ["--secret-lifetime", str(lifetime)]),
        *(["--startup", "profile"] if spec.login else []),
        *(["--plugins", str(folder / "plugins")] if spec.plugins else []),
        *plugin_config(spec),
    ]


def _put_plugins(spec: SandboxSpec) -> dict[str, str]:
    """What of this Python's packages the client may use; versions by name.

    Raises `PluginInvalid`.
    """
    from tether_runtime_client.plugin.discovery import find_plugin
    from tether_runtime_client.plugin.installed import FILE

    versions = {}
    for name in spec.plugins:
        package = find_plugin(name)
        if absent := package.absent:
            raise PluginInvalid(
                f"the plugin {name!r} declares modules that it has not: {', '.join(absent)}",
                hint=f"They would be in {package.folder}",
            )
        if lacks := package.missing:
            raise PluginInvalid(
                f"the plugin {name!r} needs what is not installed here: {', '.join(lacks)}",
                hint=f"pip install {shlex.join(lacks)}; in an image it is there by itself",
            )
        plugin = package.in_place()
        folder = spec.folder / "plugins" / name
        folder.mkdir(mode=0o700, parents=True)
        (folder / FILE).write_text(plugin.model_dump_json())
        versions[name] = plugin.version
    return versions


def _refuse_container_options(spec: SandboxSpec) -> None:
    given = {
        "image": spec.image,
        "user": spec.user,
        "mounts": spec.mounts,
        "resources": spec.resources,
        "network": spec.network,
        "inject": spec.inject != "build",
        "entrypoint": spec.entrypoint != "skip",
        "plugin_packages": spec.plugin_packages,
        "sidecars": spec.sidecars,
        f"transport {name_of(spec.transport)!r}": name_of(spec.transport) not in ("auto", "unix"),
    }
    unusable = [name for name, value in given.items() if value]
    if unusable:
        raise StartFailed(
            f"the local backend has no {', '.join(unusable)}: it runs on this machine as it is",
            hint="Leave the option out, or use backend='docker'",
        )


def _check_packages() -> None:
    lacking = [name for name in CLIENTS_OWN if find_spec(name) is None]
    if lacking:
        raise StartFailed(
            f"backend='local' needs what is not installed here: {', '.join(lacking)}",
            hint="pip install 'tether-runtime[server,sandbox]'",
        )


def _check_workdir(workdir: str | None) -> None:
    if workdir is not None and not os.path.isdir(workdir):
        text = f"there is no folder {workdir} for sessions to start in"
        raise StartFailed(text, hint="Make it first, or leave `workdir` out")
