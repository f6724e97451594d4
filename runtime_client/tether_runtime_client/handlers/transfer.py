"""Upload and download actions: files and trees on a bulk connection of their own."""

from __future__ import annotations

from pathlib import Path

from ..dispatcher import Context
from ..protocol.actions import DownloadAction, UploadAction
from ..protocol.bulk import EndFrame
from ..protocol.errors import InvalidAction
from ..protocol.events import TransferReady
from ..protocol.observations import TransferObservation
from ..protocol.transfer import Kind, confirmed, open_source, receive, send
from ..tickets import Tickets

WHERE = "in the sandbox"


class Transfers:
    """Handles `UploadAction` and `DownloadAction`."""

    def __init__(self, tickets: Tickets) -> None:
        self._tickets = tickets

    async def upload(self, action: UploadAction, context: Context) -> TransferObservation:
        """Receive a file or tree; it has its final name once all of it is here and checked."""
        target = _path(action.path)
        ticket = self._tickets.issue()
        context.emit(TransferReady(action_id=context.action_id, ticket=ticket, kind=action.kind))
        stream = await self._tickets.redeemed(ticket)
        end = await receive(stream, target, kind=action.kind, where=WHERE, mode=action.mode)
        return _observation(target, action.kind, end)

    async def download(self, action: DownloadAction, context: Context) -> TransferObservation:
        """Send a file or tree, and wait until the server has all of it."""
        path = _path(action.path)
        with await open_source(path, WHERE) as source:
            ticket = self._tickets.issue()
            context.emit(
                TransferReady(
                    action_id=context.action_id,
                    ticket=ticket,
                    kind=source.kind,
                    size=source.size,
                    mode=source.mode,
                )
            )
            stream = await self._tickets.redeemed(ticket)
            end = await send(stream, source)
            await confirmed(stream, end)
        return _observation(path, source.kind, end)


def _path(text: str) -> Path:
    if not text or "\0" in text:
        raise InvalidAction(f"{text!r} is no path")
    return Path(text)


def _observation(path: Path, kind: Kind, end: EndFrame) -> TransferObservation:
    return TransferObservation(
        path=str(path), kind=kind, bytes=end.bytes, sha256=end.sha256, files=end.files
    )
