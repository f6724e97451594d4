"""Files and trees across a bulk connection, both ways. What comes from the sandbox is hostile.

Archives are unpacked by the rules of `tarstream`, no more bytes are taken than were announced,
and a target is whole or not there at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from tether_runtime_client.protocol.actions import Action, DownloadAction
from tether_runtime_client.protocol.bulk import BulkStream, EndFrame
from tether_runtime_client.protocol.bulk_io import TransferProgress
from tether_runtime_client.protocol.errors import DiskFull, TransferError
from tether_runtime_client.protocol.message import changed
from tether_runtime_client.protocol.observations import (
    ExecObservation,
    Observation,
    TransferObservation,
)
from tether_runtime_client.protocol.transfer import (
    open_source,
    receive,
    receive_bytes,
    send,
)

from .passage import Follow, Passage, open_bulk
from .relay import relay
from .transfer_rules import DEFAULT_RULES, WHERE, Rules
from .transports import Transport


class Transfers:
    """The bulk side of one runtime.

    Every transfer can be cancelled, and goes on where it was after its connection was lost.
    Errors: `FileError` for a path on either side (the message says which), `UnsafeArchive`, and
    `TransferError` where one side gave up.
    """

    def __init__(self, follow: Follow, transport: Transport) -> None:
        self._follow = follow
        self._transport = transport
        self._open: set[Passage] = set()

    async def upload(
        self,
        source: Path,
        target: str,
        *,
        rules: Rules = DEFAULT_RULES,
        progress: TransferProgress | None = None,
    ) -> TransferObservation:
        """Copy a file or a folder's tree into the sandbox, under the name `target`.

        A tree is merged into a folder that is there already.
        """
        with await open_source(source, WHERE, rules.packing()) as opened:
            action = rules.upload_action(target, opened.kind, opened.attributes)
            async with self._passage(action) as passage:
                end = await passage.carry(lambda line: send(line, opened, progress))
                return _checked(await passage.final(), end)

    async def download(
        self,
        source: str,
        target: Path,
        *,
        rules: Rules = DEFAULT_RULES,
        progress: TransferProgress | None = None,
    ) -> TransferObservation:
        """Copy a file or a folder's tree out of the sandbox, under the name `target`.

        A tree is merged into a folder that is there already.
        """
        receiving = rules.receiving()
        async with self._passage(rules.download_action(source)) as passage:
            ready = await passage.ready()
            received = await passage.carry(
                lambda line: receive(
                    line,
                    target,
                    kind=ready.kind,
                    receiving=receiving,
                    attributes=ready.attributes,
                    announced=ready.size,
                    progress=progress,
                )
            )
            end = received.noted
            seen = _checked(await passage.final(received.answer), end)
            return changed(seen, notes=end.notes, notes_total=end.notes_total)

    async def copy_to(
        self,
        source: str,
        other: Transfers,
        target: str,
        *,
        rules: Rules = DEFAULT_RULES,
        progress: TransferProgress | None = None,
    ) -> TransferObservation:
        """Copy from this sandbox to another one, or within it; nothing is kept on the way.

        The other sandbox checks what comes, as for an upload.
        """
        async with self._passage(rules.download_action(source)) as leaving:
            ready = await leaving.ready()
            action = rules.upload_action(target, ready.kind, ready.attributes)
            async with other._passage(action) as arriving:
                try:
                    end, answer = await relay(leaving, arriving, ready.size, progress)
                except Exception as error:
                    raise await _either_reason(error, leaving, arriving) from error
                _checked(await leaving.final(answer), end)
                return _checked(await arriving.final(), end)

    async def complete(self, observation: ExecObservation) -> ExecObservation:
        """The observation with both streams whole, fetched from the sandbox where they are long.

        Raises `DiskFull` when the sandbox had no room to keep one of them; the process has ended
        all the same, and `data["exit_code"]` says how.
        """
        stdout = await self._whole(observation, "stdout")
        stderr = await self._whole(observation, "stderr")
        return observation.model_copy(update={"stdout": stdout, "stderr": stderr})

    async def _whole(self, observation: ExecObservation, name: str) -> bytes:
        first: bytes = getattr(observation, name)
        size: int = getattr(observation, f"{name}_bytes")
        path: str | None = getattr(observation, f"{name}_path")
        if size <= len(first):
            return first
        if path is None:
            raise DiskFull(
                f"the sandbox had room for {len(first):,} of the {size:,} bytes of {name} only; "
                f"the process ended with exit code {observation.exit_code}",
                exit_code=observation.exit_code,
                stream=name,
            )
        return await self._fetch(path, size)

    async def _fetch(self, path: str, size: int) -> bytes:
        async with self._passage(DownloadAction(path=path)) as passage:
            data, end = await passage.carry(lambda line: receive_bytes(line, size))
            await passage.final(end)
            return data

    async def connect(self, ticket: str) -> BulkStream:
        """A bulk connection of the caller's own; raises `TransferError`."""
        return await open_bulk(self._transport, ticket)

    def cut(self) -> None:
        """Drop the connections of all transfers as a broken network would."""
        for passage in self._open:
            passage.cut()

    @asynccontextmanager
    async def _passage(self, action: Action) -> AsyncGenerator[Passage, None]:
        async with Passage(self._follow, action, self._transport) as passage:
            self._open.add(passage)
            try:
                yield passage
            finally:
                self._open.discard(passage)


async def _either_reason(error: Exception, leaving: Passage, arriving: Passage) -> Exception:
    """What a transfer between two sandboxes failed of, as the side says that did."""
    if type(error) is not TransferError:
        return error
    reasons = await asyncio.gather(leaving.reason(), arriving.reason())
    told = [reason for reason in reasons if reason is not None]
    return next((reason for reason in told if type(reason) is not TransferError), error)


def _checked(observation: Observation, end: EndFrame) -> TransferObservation:
    """Both ends have to agree on what crossed."""
    if not isinstance(observation, TransferObservation):
        raise TransferError(f"the sandbox answered a transfer with {observation.observation!r}")
    if (observation.bytes, observation.crc32) != (end.bytes, end.crc32):
        raise TransferError("the sandbox and this machine do not agree on what was transferred")
    return observation
