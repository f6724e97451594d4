"""Upload and download actions: files and trees on a bulk connection of their own."""

from __future__ import annotations

import threading
from pathlib import Path

from ..dispatcher import Context
from ..processes import UnknownUser
from ..processes.users import find_owner
from ..protocol import errors
from ..protocol.actions import DownloadAction, UploadAction
from ..protocol.attributes import FileAttributes, Owner, Receiving
from ..protocol.bulk import BulkStream, EndFrame
from ..protocol.bulk_line import BulkLine
from ..protocol.events import TransferReady
from ..protocol.limits import RESUME_TIMEOUT_S
from ..protocol.observations import TransferObservation
from ..protocol.selection import Selection
from ..protocol.tarpack import Packing
from ..protocol.transfer import Kind, open_source, receive, send
from ..protocol.unfinished import Unfinished
from ..tickets import Tickets

WHERE = "in the sandbox"


class Transfers:
    """Handles `UploadAction` and `DownloadAction`."""

    def __init__(self, tickets: Tickets, unfinished: Unfinished | None = None) -> None:
        self._tickets = tickets
        self._unfinished = unfinished
        if unfinished is not None and (left := unfinished.left()):
            threading.Thread(target=unfinished.sweep, args=[left], daemon=True).start()

    async def upload(self, action: UploadAction, context: Context) -> TransferObservation:
        """Receive a file or tree; it has its final name once all of it is here and checked."""
        target = _path(action.path)
        receiving = _receiving(action, self._unfinished)
        line = await self._line(context, kind=action.kind)
        received = await receive(
            line, target, kind=action.kind, receiving=receiving, attributes=action.attributes
        )
        return _observation(target, action.kind, received.noted)

    async def download(self, action: DownloadAction, context: Context) -> TransferObservation:
        """Send a file or tree, and wait until the server has all of it."""
        path = _path(action.path)
        with await open_source(path, WHERE, _packing(action)) as source:
            kind = source.kind
            line = await self._line(
                context, kind=kind, size=source.size, attributes=source.attributes
            )
            end = await send(line, source)
        return _observation(path, kind, end)

    async def _line(
        self,
        context: Context,
        *,
        kind: Kind,
        size: int | None = None,
        attributes: FileAttributes | None = None,
    ) -> BulkLine:
        """Asks for a connection, and for another one each time it is lost."""

        async def connection(patience_s: float | None = None) -> BulkStream:
            ticket = self._tickets.issue()
            context.emit(
                TransferReady(
                    action_id=context.action_id,
                    ticket=ticket,
                    kind=kind,
                    size=size,
                    attributes=attributes,
                )
            )
            return await self._tickets.redeemed(ticket, patience_s)

        return BulkLine(await connection(), lambda: connection(RESUME_TIMEOUT_S))


def _path(text: str) -> Path:
    if not text or "\0" in text:
        raise errors.InvalidAction(f"{text!r} is no path")
    return Path(text)


def _receiving(action: UploadAction, unfinished: Unfinished | None) -> Receiving:
    owner: Owner | None = None
    if action.owner == "keep":
        owner = "keep"
    elif action.owner is not None:
        try:
            owner = find_owner(action.owner)
        except UnknownUser as problem:
            raise errors.UnknownUser(problem.message, hint=problem.hint) from problem
    return Receiving(WHERE, action.links, owner, action.xattrs, unfinished)


def _packing(action: DownloadAction) -> Packing:
    try:
        selection = Selection(action.include, action.exclude)
    except ValueError as problem:
        raise errors.InvalidAction(str(problem)) from None
    return Packing(action.follow_links, action.xattrs, selection)


def _observation(path: Path, kind: Kind, end: EndFrame) -> TransferObservation:
    return TransferObservation(
        path=str(path),
        kind=kind,
        bytes=end.bytes,
        crc32=end.crc32,
        files=end.files,
        notes=end.notes,
        notes_total=end.notes_total,
    )
