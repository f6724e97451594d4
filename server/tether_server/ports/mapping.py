"""What forwards and reverses have in common: numbers, events, a record, and an end."""

from __future__ import annotations

import asyncio
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from tether_runtime_client.protocol.errors import TetherError
from tether_runtime_client.protocol.events import PortClosed, PortOpened, PortTrouble

from ..record import process_start
from .health import Health
from .records import PortRecord, note

if TYPE_CHECKING:
    from ..calls import Calls

log = logging.getLogger(__name__)


@dataclass(slots=True)
class PortCounts:
    """Connections of a mapping: all that were made, those that are `open`, those that `failed`
    before they were connected, those that were `broken` later, and those `turned_away` for want of
    a token or of TLS.
    """

    connections: int = 0
    open: int = 0
    failed: int = 0
    broken: int = 0
    turned_away: int = 0


class Mapping(ABC):
    """One mapping of a port. Closed with its runtime, with its block, or by `close`."""

    direction: ClassVar[Literal["forward", "reverse"]]

    def __init__(self, calls: Calls, sandbox: str) -> None:
        self._calls = calls
        self._sandbox = sandbox
        self._submissions = calls._active
        self._tasks: set[asyncio.Task[None]] = set()
        self._record: Path | None = None
        self._open = False
        self._on_closed: list[Callable[[Mapping], object]] = []
        self._health = Health(self._tell_trouble, self._tell_recovered)
        self._on_recovered: list[Callable[[Mapping], object]] = []
        self.counts = PortCounts()
        self.closed = False
        self.problem: TetherError | None = None
        """What ended it, when nobody closed it."""

    @property
    @abstractmethod
    def inside(self) -> str:
        """The end in the sandbox."""

    @property
    @abstractmethod
    def here(self) -> str:
        """The end here."""

    @property
    @abstractmethod
    def url(self) -> str:
        """Where to connect."""

    @property
    def protected(self) -> bool:
        """Whether a token or TLS is asked for."""
        return False

    def __str__(self) -> str:
        return self.url

    def __repr__(self) -> str:
        state = " closed" if self.closed else ""
        return f"<{type(self).__name__} {self.here} here, {self.inside} inside{state}>"

    async def close(self) -> None:
        """Take no more connections, and reset those that stand. Twice is safe."""
        if self.closed:
            return
        self._mark_closed("it was closed")
        await self._free()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def on_closed(self, tell: Callable[[Mapping], object]) -> None:
        """Call this when it is closed, in whatever way."""
        self._on_closed.append(tell)

    def on_recovered(self, tell: Callable[[Mapping], object]) -> None:
        """Call this when a connection succeeds after the failure of others was told."""
        self._on_recovered.append(tell)

    @abstractmethod
    def cut(self) -> None:
        """Drop its lease's connection as a broken network would; it is made anew."""

    # --- for who inherits

    @abstractmethod
    async def _free(self) -> None:
        """Let go of what it holds."""

    @property
    def _protection_name(self) -> str:
        """What is asked of whoever connects, in words."""
        return ""

    def _opened(self) -> None:
        """It works: tell, and write it down."""
        self._open = True
        self._tell(PortOpened(direction=self.direction, inside=self.inside, here=self.here))
        pid = os.getpid()
        record = PortRecord(
            sandbox=self._sandbox,
            direction=self.direction,
            inside=self.inside,
            here=self.here,
            url=self.url,
            protection=self._protection_name,
            pid=pid,
            start=process_start(pid) or 0,
        )
        try:
            self._record = note(record)
        except OSError as problem:  # it is for people who ask what there is
            log.warning("the mapping of a port was not written down: %s", problem)

    def _carry(self, work: asyncio.Task[None]) -> None:
        """Count a connection until its task ends."""
        self.counts.connections += 1
        self._tasks.add(work)
        self.counts.open = len(self._tasks)
        work.add_done_callback(self._end_one)

    def _end_one(self, work: asyncio.Task[None]) -> None:
        self._tasks.discard(work)
        self.counts.open = len(self._tasks)

    async def _end_all(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _failed(self, problem: TetherError) -> None:
        """A connection came to nothing."""
        self.counts.failed += 1
        self._health.failed(problem)

    def _tell_trouble(self, problem: TetherError) -> None:
        self._tell(
            PortTrouble(
                direction=self.direction,
                inside=self.inside,
                here=self.here,
                reason=problem.message[:1000],
                failed=self.counts.failed,
            )
        )

    def _tell_recovered(self) -> None:
        for tell in self._on_recovered:
            tell(self)

    def _lost(self, problem: TetherError) -> None:
        """There will be no lease any more: the sandbox is gone, or another server's."""
        if self.closed:
            return
        self.problem = problem
        self._mark_closed(problem.message[:1000])
        task = asyncio.get_running_loop().create_task(self._free())
        _ending.add(task)
        task.add_done_callback(_ending.discard)

    def _mark_closed(self, reason: str) -> None:
        self.closed = True
        self._health.close()
        if self._record is not None:
            self._record.unlink(missing_ok=True)
        if self._open:
            self._tell(
                PortClosed(
                    direction=self.direction,
                    inside=self.inside,
                    here=self.here,
                    reason=reason,
                    connections=self.counts.connections,
                )
            )
        for tell in self._on_closed:
            tell(self)

    def _tell(self, event: PortOpened | PortTrouble | PortClosed) -> None:
        """In the history, unless that has ended."""
        if self._submissions.ended is None:
            self._submissions.record(event)


_ending: set[asyncio.Task[None]] = set()
"""Mappings that end by themselves."""
