"""What a transport is: give me a connected socket."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .probe import NoAnswer


class NotTheClient(OSError):
    """What is in the client's place cannot be the client."""


class Transport(ABC):
    """One way to the client of one sandbox.

    Made without touching anything. `connect` is called by the link for every connection, event
    and bulk alike, any number at a time, again after every loss; each time it finds out anew where
    the client is. `close` comes last, by the sandbox that made it.
    """

    name: str
    patience_s: float = 5.0
    """How long a client that listens may take to prove itself on this way."""

    @abstractmethod
    async def connect(self) -> socket.socket:
        """A fresh connected, non-blocking stream socket; the caller owns it.

        Raises `OSError` when nothing answers: it may be tried again.
        """

    @abstractmethod
    def describe(self) -> str:
        """Where it leads, for people."""

    async def diagnose(self, problem: NoAnswer, secret: str) -> str:
        """Where the way is broken, in a sentence, once a probe has found that it is.

        Called at most once for a probe; may look at parts of the way. Empty when nothing more is
        known than the problem says.
        """
        return ""

    def renew(self, secret: str) -> None:  # noqa: B027  most do without
        """The sandbox has this secret now. Called before each event connection, and between."""

    async def close(self) -> None:  # noqa: B027  most hold nothing
        """Free what is held between connections. Twice is safe."""
