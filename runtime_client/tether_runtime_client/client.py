"""The runtime client's process: its parts put together, and its life from start to stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from base64 import b64decode
from typing import TYPE_CHECKING

from .control import Control
from .dispatcher import Dispatcher
from .endpoint import Endpoint
from .environment import Environment
from .event_connection import EventConnection
from .handlers import Handlers, register_handlers
from .kept_secret import KeptSecret
from .notices import Notices
from .oom_kills import OomKills, find_counter
from .original_environment import original_environment
from .protocol.events import ClientStarted, OutOfMemory
from .recorder import Recorder
from .settings import (
    ClientSettings,
    SettingsError,
    parse_settings,
    private_folder,
    split_address,
)
from .shell import BashChoice, NoShell, choose_bash
from .supervisor import CONFIG_ERROR, LEASE_EXPIRED, STOPPED, Handover
from .supervisor_io import STOP_CLIENT
from .tickets import Tickets
from .version import VERSION

if TYPE_CHECKING:
    import ssl

    from .dial import Dialler

READY = "tether-runtime-client: ready"
FLUSH_S = 4.0
"""How long a stop waits for the server to store what there is: half of the supervisor's grace."""

log = logging.getLogger("tether_runtime_client")


def run_client(handover: Handover, args: list[str]) -> int:
    """Serve until told to stop; returns the exit code the supervisor understands."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s"
    )
    # A peer that goes away is an error of one connection, not the end of this process.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    give_back_environment()
    try:
        settings = parse_settings(args)
        private_folder(settings.state)
        secret = KeptSecret(handover.secret_fd, settings.secret_lifetime)
        return asyncio.run(RuntimeClient(settings, secret, handover).run())
    except SettingsError as problem:
        sys.stderr.write(f"tether-runtime-client: {problem}\n")
        return CONFIG_ERROR


def give_back_environment() -> None:
    """Undo what the launcher did to keep the image's LD_* and PYTHON* from our own Python.

    This process has read its own by now; the names are for the sessions, which inherit them.
    """
    environment = original_environment(os.environ)
    os.environ.clear()
    os.environ.update(environment)


class RuntimeClient:
    """One life of the client. `run` returns the exit code.

    What is handed over behind the secret is for listening on TCP by TLS: certificate and key, in
    base64.
    """

    def __init__(self, settings: ClientSettings, secret: KeptSecret, handover: Handover) -> None:
        self._settings = settings
        self._secret = secret
        self._tls = _tls(secret.rest) if secret.rest else None
        self._exit_code = STOPPED
        self._stop = asyncio.Event()
        self._recorder = Recorder(settings.state / "journal")
        self._dispatcher = Dispatcher(self._recorder)
        self._control = Control(settings.lease, self._on_abandoned)
        self._tickets = Tickets()
        self._endpoint = Endpoint(self._make_connection, self._tickets)
        self._dialler = self._make_dialler(settings)
        self._notices = Notices(handover.notice_fd, self._recorder.emit)
        self._previous_end = handover.deaths[-1] if handover.deaths else None
        self._oom = OomKills(find_counter(), self._tell_oom, kept=settings.state / "oom_kills")

    async def run(self) -> int:
        """Start listening, serve, and stop in good order when the supervisor asks for it."""
        asyncio.get_running_loop().add_signal_handler(STOP_CLIENT, self._stop.set)
        handlers = await self._start()
        starting = asyncio.create_task(handlers.plugins.start())
        await self._stop.wait()
        self._notices.close()
        await asyncio.gather(self._dispatcher.close(), handlers.plugins.close())
        await handlers.sessions.close()
        starting.cancel()
        await asyncio.sleep(0)  # futures tell of their ends in the loop's next round
        await self._flush()
        if self._dialler is not None:
            await self._dialler.close()
        await self._endpoint.close()
        self._recorder.journal.close()
        self._oom.close()
        return self._exit_code

    async def _flush(self) -> None:
        """A controller that is there gets the last events too: where the sandbox is removed, its
        journal goes with it.
        """
        try:
            async with asyncio.timeout(FLUSH_S):
                while self._control.is_controlled and not self._recorder.all_acknowledged:
                    await self._recorder.next_acknowledgement()
        except TimeoutError:
            log.warning("stopped before the server had stored all events: the journal has them")

    def _tell_oom(self, kills: int) -> None:
        self._recorder.emit(OutOfMemory(oom_kills=kills))

    async def _start(self) -> Handlers:
        choice = await self._choose_bash()
        self._recorder.start(
            ClientStarted(
                version=VERSION,
                pid=os.getpid(),
                shell=choice.path,
                shell_reason=choice.explanation,
                previous_end=self._previous_end,
                oom_kills=self._oom.missed,
            )
        )
        handlers = register_handlers(
            self._dispatcher,
            self._recorder,
            self._tickets,
            self._settings,
            self._environment(),
            choice,
            self._oom,
        )
        if self._settings.unix is not None:
            await self._endpoint.listen_unix(self._settings.unix)
        if self._settings.tcp is not None:
            await self._listen_tcp(*split_address(self._settings.tcp))
        if self._dialler is not None:
            self._dialler.start()
        self._notices.start()
        self._control.start()
        _calm_collector()
        self._say_ready()
        return handlers

    def _environment(self) -> Environment:
        """The one that this process was started with; plugins' commands are on its PATH."""
        settings, commands = self._settings, None
        if settings.plugins_folder.is_dir():
            from .plugin_commands import write_commands

            commands = write_commands(settings)
        return Environment(os.environ, settings.state / "environment.json", commands)

    async def _listen_tcp(self, host: str, port: int) -> None:
        if self._tls is None:
            await self._endpoint.listen_tcp(host, port)
        else:
            self._endpoint.listen_tls(host, port, self._tls)

    async def _choose_bash(self) -> BashChoice:
        """Without any, everything but shell sessions works, and those say why they do not."""
        settings = self._settings
        try:
            return await choose_bash(asked=settings.bash, bundled=settings.bundled_bash)
        except NoShell as problem:
            return BashChoice(path="", version="", reason=str(problem))

    def _make_dialler(self, settings: ClientSettings) -> Dialler | None:
        if settings.dial is None:
            return None
        from .dial import Dialler  # which most clients need not

        address = split_address(settings.dial)
        return Dialler(
            address,
            self._secret,
            self._endpoint.serve,
            proxy=settings.dial_proxy,
            authority=settings.dial_authority,
        )

    def _make_connection(self) -> EventConnection:
        return EventConnection(self._secret, self._recorder, self._dispatcher, self._control)

    def _say_ready(self) -> None:
        sys.stdout.write(READY + "\n")
        sys.stdout.flush()
        if self._settings.ready_fd is not None:
            try:
                with os.fdopen(self._settings.ready_fd, "wb", buffering=0) as told:
                    told.write(b"ready\n")
            except OSError as problem:
                # After a restart nobody waits for it any more.
                log.debug("nobody to tell that we are ready: %s", problem)

    def _on_abandoned(self) -> None:
        log.warning("no server was attached for %s s: the sandbox ends", self._settings.lease)
        self._exit_code = LEASE_EXPIRED
        self._stop.set()


def _tls(rest: str) -> ssl.SSLContext:
    from .protocol.tls import presenting

    return presenting(b64decode(rest).decode())


def _calm_collector() -> None:
    """What was made until now stays, so the collector need not walk it again for every few
    commands: that was a tenth of a busy client's time. Nearly nothing here is in cycles.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
