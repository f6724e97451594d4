"""What a transport is: give me a connected socket."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod


class Transport(ABC):
    """One way to the client of one sandbox.

    `connect` is called by the link for every connection, event and bulk alike, any number at a
    time, again after every loss. It holds nothing open between calls.
    """

    name: str

    @abstractmethod
    async def connect(self) -> socket.socket:
        """A fresh connected, non-blocking stream socket; the caller owns it.

        Raises `OSError` when nothing answers: it may be tried again.
        """

    @abstractmethod
    def describe(self) -> str:
        """Where it leads, for people."""
