"""Files and trees across a bulk connection, both ways."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from tether_runtime_client.protocol import observations as o
from tether_runtime_client.protocol.actions import Action

from .transports import Transport


class Transfers:
    """The bulk side of one runtime."""

    def __init__(
        self, stream: Callable[[Action], AsyncIterator[Any]], transport: Transport
    ) -> None:
        self._stream = stream
        self._transport = transport

    async def upload(self, source: Path, target: str) -> o.TransferObservation:
        raise NotImplementedError

    async def download(self, source: str, target: Path) -> o.TransferObservation:
        raise NotImplementedError

    async def complete(self, observation: o.ExecObservation) -> o.ExecObservation:
        """The observation with both streams whole."""
        return observation
