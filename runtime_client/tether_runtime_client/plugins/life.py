"""One life of a plugin's process: spoken to, watched, and ended with all that came of it."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..handlers import registry
from ..plugin.wire import FromPlugin, PingFrame, StopFrame, from_plugin_adapter
from ..processes import ExitStatus
from ..proctree import read_process
from ..protocol.message import Message
from .link import Link
from .spawning import Spawned

EOF_S = 2.0
"""How long after the end of its connection a process may take to end."""

TERM_S = 1.0
"""How long one that does not stop may take to end after a SIGTERM, before it is killed."""

END_S = 4.0
"""How long what came of a process may take to vanish: after SIGTERM a fourth of it, then killed."""

PING_S = 10.0
SILENT = 3
"""While actions run, a process that says nothing at all for so many pings hangs."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class End:
    """How a process ended. `fault` is what it was ended for; None where it ended by itself, or
    because it was asked to. `status` is None for one that not even a kill has ended.
    """

    fault: str | None
    status: ExitStatus | None

    @property
    def exit_code(self) -> int | None:
        """Of one that ended by itself: who killed it for a fault knows why it is 137."""
        return self.status.exit_code if self.status is not None and self.fault is None else None


class Life:
    """A process that was spawned, until nothing of it is left.

    `ended` is done once it has ended and all it said was taken in; `gone` once what it had started
    has ended too. `on_frame` gets what it says, and raises `ValueError` for what it may not say.
    """

    def __init__(
        self, spawned: Spawned, registry_folder: str, on_frame: Callable[[FromPlugin], None]
    ) -> None:
        loop = asyncio.get_running_loop()
        self.pid = spawned.process.pid
        self.output = spawned.output
        self.stopping = False
        self._process = spawned.process
        self._family = spawned.family
        self._registry = registry_folder
        self._on_frame = on_frame
        self._silent = 0
        self._timer: asyncio.TimerHandle | None = None
        self._eof: asyncio.TimerHandle | None = None
        self._broken: asyncio.Future[str] = loop.create_future()
        self.ended: asyncio.Future[End] = loop.create_future()
        self.link = Link(spawned.connection, self._take, self._on_link_end)
        registry.note(self._registry, self.pid)
        self.gone = asyncio.create_task(self._run())

    def send(self, frame: Message) -> None:
        """Raises `ValueError` for one that is too long. To a process that has ended it does
        nothing."""
        self.link.send(frame)

    def watch(self, busy: bool) -> None:
        """Have it say that its loop turns while it is `busy`. Twice is safe."""
        if busy and self._timer is None:
            self._silent = 0
            self._ping()
        elif not busy and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def break_off(self, fault: str) -> None:
        """Kill it, for this reason. The first one counts."""
        if not self._broken.done():
            self._broken.set_result(fault)

    async def stop(self, grace_s: float) -> bool:
        """Have it end in good order, or end it; returns when nothing of it is left. Whether it did
        so by itself.
        """
        self.stopping = True
        self.send(StopFrame())
        by_itself = await self.ends_within(grace_s)
        if not by_itself:
            self._process.signal(signal.SIGTERM)
            self._process.signal(signal.SIGCONT)
            if not await self.ends_within(min(TERM_S, grace_s / 3)):
                self.break_off("it did not stop")
        await asyncio.shield(self.gone)
        return by_itself

    def hold(self) -> None:
        """Read nothing of it for now. Twice is safe."""
        self.link.pause()
        self.output.hold()

    def release(self) -> None:
        """Undo that. Twice is safe."""
        self.link.resume()
        self.output.release()

    # --- its end

    async def _run(self) -> None:
        exited = asyncio.create_task(self._process.wait())
        either: list[asyncio.Future[Any]] = [exited, self._broken]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if exited.done():
            self.link.read_rest()
        else:
            self._process.kill()
        fault = self._broken.result() if self._broken.done() else None
        with suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                await asyncio.shield(exited)
        status = exited.result() if exited.done() else None
        self.watch(busy=False)
        self.link.close()
        self.ended.set_result(End(fault, status))
        left = await self._family.end(END_S, ask_shells=True)
        if left:
            log.warning("processes of a plugin that could not be ended: %s", left)
        self._close(exited)

    def _close(self, exited: asyncio.Task[ExitStatus]) -> None:
        if self._eof is not None:
            self._eof.cancel()
        exited.cancel()
        self.output.close()
        self._process.close()
        registry.forget(self._registry, self.pid)

    async def ends_within(self, limit_s: float) -> bool:
        """Wait for its end for so long; whether it has come."""
        await asyncio.wait([self.ended], timeout=limit_s)
        return self.ended.done()

    # --- what it says

    def _take(self, body: bytes) -> None:
        self._silent = 0
        self._on_frame(from_plugin_adapter.validate_json(body))

    def _on_link_end(self, problem: str) -> None:
        if problem:
            self.break_off(problem[:500])
            return
        loop = asyncio.get_running_loop()
        text = "it closed its connection to the client, and went on"
        self._eof = loop.call_later(EOF_S, self.break_off, text)

    # --- whether it hangs

    def _ping(self) -> None:
        if self.link.is_held:
            self._silent = 0  # it may have said anything
        if self._silent >= SILENT:
            self.break_off(_hanging(self.pid))
            return
        self._silent += 1
        self.send(PingFrame())
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(PING_S, self._ping)


def _hanging(pid: int) -> str:
    process = read_process(pid)
    if process is not None and process.state in "Tt":
        return "it was stopped by a signal (SIGSTOP), and did not go on"
    return (
        f"its event loop has not turned for {SILENT * PING_S:.0f} s: what takes long belongs into"
        " a thread (asyncio.to_thread) or a process of its own"
    )
