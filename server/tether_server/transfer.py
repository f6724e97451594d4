"""Files and trees across a bulk connection, both ways. What comes from the sandbox is hostile.

Archives are unpacked by the rules of `tarstream`, no more bytes are taken than were announced,
and a target is whole or not there at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import TypeVar

from tether_runtime_client.protocol.actions import Action, DownloadAction
from tether_runtime_client.protocol.bulk import BulkStream, EndFrame, OpenFrame
from tether_runtime_client.protocol.bulk_io import TransferProgress
from tether_runtime_client.protocol.channel import client_channel
from tether_runtime_client.protocol.errors import (
    DiskFull,
    RuntimeClosed,
    TetherError,
    TransferError,
)
from tether_runtime_client.protocol.events import Event, TransferReady
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

from .relay import relay
from .transfer_rules import DEFAULT_RULES, WHERE, Rules
from .transports import Transport

REASON_TIMEOUT_S = 10.0
"""After a failed transfer, how long the sandbox's own account of it is waited for."""

T = TypeVar("T")
Follow = Callable[[Action], AsyncGenerator[Event, None]]
"""Runs an action; yields all its events, its observation last, and raises the error it ends in."""


class Transfers:
    """The bulk side of one runtime.

    Every transfer can be cancelled. Errors: `FileError` for a path on either side (the message
    says which), `UnsafeArchive`, and `TransferError` for a connection that went.
    """

    def __init__(self, follow: Follow, transport: Transport) -> None:
        self._follow = follow
        self._transport = transport

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
            async with aclosing(self._follow(action)) as events:
                stream, _ = await self._open(events)
                end = await _or_reason(send(stream, opened, progress), stream, events)
                return _checked(await _final(events), end)

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
        async with aclosing(self._follow(rules.download_action(source))) as events:
            stream, ready = await self._open(events)
            taking = receive(
                stream,
                target,
                kind=ready.kind,
                receiving=receiving,
                attributes=ready.attributes,
                announced=ready.size,
                progress=progress,
            )
            end = await _or_reason(taking, stream, events)
            seen = _checked(await _final(events), end)
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
        async with aclosing(self._follow(rules.download_action(source))) as leaving:
            outward, ready = await self._open(leaving)
            action = rules.upload_action(target, ready.kind, ready.attributes)
            async with aclosing(other._follow(action)) as arriving:
                try:
                    inward, _ = await other._open(arriving)
                    end = await relay(outward, inward, ready.size, progress)
                except Exception as error:
                    outward.close()
                    raise await _either_reason(error, leaving, arriving) from error
                finally:
                    outward.close()
                _checked(await _final(leaving), end)
                return _checked(await _final(arriving), end)

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
        async with aclosing(self._follow(DownloadAction(path=path))) as events:
            stream, _ = await self._open(events)
            data = await _or_reason(receive_bytes(stream, size), stream, events)
            await _final(events)
            return data

    async def connect(self, ticket: str) -> BulkStream:
        """A bulk connection of the caller's own; raises `TransferError`."""
        return await open_bulk(self._transport, ticket)

    async def _open(self, events: AsyncGenerator[Event, None]) -> tuple[BulkStream, TransferReady]:
        async for event in events:
            if isinstance(event, TransferReady):
                return await open_bulk(self._transport, event.ticket), event
        raise RuntimeClosed("the runtime was closed before the transfer began")


async def open_bulk(transport: Transport, ticket: str) -> BulkStream:
    """A bulk connection that has shown its ticket; raises `TransferError`.

    The caller closes it. A ticket that is not good shows as a stream that is closed at once.
    """
    stream = BulkStream()
    try:
        connection = await transport.connect()
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: client_channel("/bulk", stream), sock=connection)
    except OSError as problem:
        raise TransferError(f"no bulk connection can be made: {problem}") from problem
    try:
        await stream.opened
        stream.send(OpenFrame(ticket=ticket))
    except BaseException:
        stream.abort("the bulk connection was not opened")
        raise
    return stream


async def _or_reason(
    work: Awaitable[T], stream: BulkStream, events: AsyncGenerator[Event, None]
) -> T:
    """What `work` returns. When it fails for want of the peer, the peer's reason is raised."""
    try:
        return await work
    except Exception as error:
        reason = await _reason(events)
        if reason is not None and type(error) is TransferError is not type(reason):
            raise reason from error
        raise
    finally:
        stream.close()


async def _reason(events: AsyncGenerator[Event, None]) -> TetherError | None:
    """Why the sandbox says that the transfer failed, if it says so in time."""
    try:
        async with asyncio.timeout(REASON_TIMEOUT_S):
            await _final(events)
    except TetherError as reason:
        return reason
    except TimeoutError:
        return None
    return None


async def _either_reason(
    error: Exception, leaving: AsyncGenerator[Event, None], arriving: AsyncGenerator[Event, None]
) -> Exception:
    """What a transfer between two sandboxes failed of, as the side says that did."""
    if type(error) is not TransferError:
        return error
    reasons = await asyncio.gather(_reason(leaving), _reason(arriving))
    told = [reason for reason in reasons if reason is not None]
    return next((reason for reason in told if type(reason) is not TransferError), error)


async def _final(events: AsyncGenerator[Event, None]) -> Observation:
    async for event in events:
        if isinstance(event, Observation):
            return event
    raise RuntimeClosed("the runtime was closed before the transfer had ended")


def _checked(observation: Observation, end: EndFrame) -> TransferObservation:
    """Both ends have to agree on what crossed."""
    if not isinstance(observation, TransferObservation):
        raise TransferError(f"the sandbox answered a transfer with {observation.observation!r}")
    if (observation.bytes, observation.sha256) != (end.bytes, end.sha256):
        raise TransferError("the sandbox and this machine do not agree on what was transferred")
    return observation
