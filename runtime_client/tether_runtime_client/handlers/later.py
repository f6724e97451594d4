"""Handlers whose modules are imported with the first action that needs them.

Most sandboxes never search, watch, transfer or forward anything. What they are spared is a tenth of
the client's start, and megabytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from ..dispatcher import Context, Handle
from ..protocol.action import Action
from ..protocol.observation import Observation

T = TypeVar("T")
A = TypeVar("A", bound=Action)


class Later(Generic[T]):
    """What `make` makes, once it is needed. `make` imports what it takes."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: T | None = None

    def get(self) -> T:
        """It, made now at the latest."""
        if self._made is None:
            self._made = self._make()
        return self._made

    def handle(self, method: Callable[[T], Handle[A]]) -> Handle[A]:
        """A handler that is one of its methods."""

        async def handle(action: A, context: Context) -> Observation:
            return await method(self.get())(action, context)

        return handle
