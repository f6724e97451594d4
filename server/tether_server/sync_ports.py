"""Mapped ports, for code that does not use asyncio."""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType
from typing import Generic, Self, TypeVar

from tether_runtime_client.protocol.errors import RuntimeClosed, TetherError

from .loop_thread import LoopThread
from .ports import Forward, Reverse
from .ports.mapping import PortCounts

M = TypeVar("M", Forward, Reverse)


class SyncMapping(Generic[M]):
    """What both kinds have; `str()` of it is its `url`. Any number of threads may use it."""

    def __init__(self, thread: LoopThread, mapping: M) -> None:
        self._thread = thread
        self._mapping: M = mapping
        self.url = mapping.url
        self.host = mapping.host
        self.port = mapping.port
        self.path = mapping.path

    def __str__(self) -> str:
        return self.url

    def __repr__(self) -> str:
        return f"<Sync{repr(self._mapping)[1:]}"

    @property
    def counts(self) -> PortCounts:
        """The numbers of its connections."""
        return self._mapping.counts

    @property
    def closed(self) -> bool:
        """Whether it takes no more connections."""
        return self._mapping.closed

    @property
    def problem(self) -> TetherError | None:
        """What ended it, when nobody closed it."""
        return self._mapping.problem

    def close(self) -> None:
        """Take no more connections, and reset those that stand. Twice is safe."""
        with suppress(RuntimeClosed):  # it went with its runtime
            self._thread.call(self._mapping.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class SyncForward(SyncMapping[Forward]):
    """As `Forward`."""

    @property
    def address(self) -> tuple[str, int] | str:
        """What a socket is connected to: host and port, or a path."""
        return self._mapping.address

    @property
    def token(self) -> str | None:
        """What is asked of whoever connects."""
        return self._mapping.token


class SyncReverse(SyncMapping[Reverse]):
    """As `Reverse`."""
