"""The bulk connections of one transfer: each is announced by an event of the transfer's action."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from types import TracebackType
from typing import Protocol, Self, TypeVar

from tether_runtime_client.protocol.actions import Action
from tether_runtime_client.protocol.bulk import BulkStream, EndFrame, OpenFrame
from tether_runtime_client.protocol.bulk_line import BulkLine
from tether_runtime_client.protocol.channel import client_channel
from tether_runtime_client.protocol.errors import RuntimeClosed, TetherError, TransferError
from tether_runtime_client.protocol.events import Event, TransferReady
from tether_runtime_client.protocol.limits import HANDSHAKE_TIMEOUT_S
from tether_runtime_client.protocol.observations import Observation
from tether_runtime_client.protocol.port_sockets import notice_death
from tether_runtime_client.protocol.transfer import answer_again
from tether_runtime_client.protocol.tree_actions import CancelAction

from .backoff import LAST_RETRY_S, Backoff
from .transports import Transport

REASON_TIMEOUT_S = 10.0
"""After a failed transfer, how long the sandbox's own account of it is waited for."""

LAST_WORDS_TIMEOUT_S = 5.0
"""After the action's end, how long what was said before may still be on its way."""

FIRST_CONNECTION_TIMEOUT_S = 2.5 * HANDSHAKE_TIMEOUT_S
"""How long a transfer that cannot even begin is tried: also again after an attempt that the network
has swallowed.
"""


T = TypeVar("T")

log = logging.getLogger(__name__)


class Follow(Protocol):
    """Runs an action; yields all its events, its observation last, and raises what it ends in."""

    def __call__(self, action: Action, /) -> AsyncGenerator[Event, None]: ...


class Passage:
    """One transfer's action and its connections, as a context manager.

    The sandbox gives out a ticket with a `TransferReady`, and another one each time that it has
    lost the connection. Leaving before the action has ended cancels it.
    """

    def __init__(self, follow: Follow, action: Action, transport: Transport) -> None:
        self._follow = follow
        self._action = action
        self._transport = transport
        self._ready: TransferReady | None = None
        self._news = asyncio.Event()
        self._final: asyncio.Future[Observation]
        self._listening: asyncio.Task[None]
        self._stream: BulkStream | None = None
        self._opened = 0.0
        self._used = ""
        self._tries = Backoff()

    async def __aenter__(self) -> Self:
        self._final = asyncio.get_running_loop().create_future()
        self._listening = asyncio.create_task(self._listen(), name="tether passage")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        ended = self._final.done()
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        if self._final.done() and not self._final.cancelled():
            self._final.exception()  # it has been looked at, or nobody wants to
        if self._stream is not None:
            self._stream.close() if ended else self._stream.abort("the transfer is over")
        if not ended:
            await self._cancel_action()

    async def ready(self) -> TransferReady:
        """The sandbox's word that it waits for the first connection; raises why it does not."""
        while self._ready is None:
            if self._final.done():
                self._final.result()
                raise TransferError("the sandbox ended the transfer before it had begun")
            await self._heard(None)
        return self._ready

    async def carry(self, work: Callable[[BulkLine], Awaitable[T]]) -> T:
        """What `work` returns, which gets the line. When it fails for want of the peer, the
        peer's reason is raised.
        """
        stream = await self.connect()
        if stream is None:
            raise TransferError("the sandbox ended the transfer before it had begun")
        try:
            return await work(BulkLine(stream, self.connect))
        except Exception as error:
            reason = await self.reason()
            if reason is not None and type(error) is TransferError is not type(reason):
                raise reason from error
            raise

    async def connect(self) -> BulkStream | None:
        """The next connection, or None once the action has ended well; raises how it ended else.

        The sandbox may not have seen yet that the last one is gone, or the last ticket not have
        come to it: so there are several tries.
        """
        ready, began = await self.ready(), time.monotonic()
        if self._opened:
            await self._wait_for_another()
        while not self._final.done():
            ready = await self.ready()
            try:
                stream = await open_bulk(self._transport, ready.ticket)
            except TransferError as problem:
                if not self._used and time.monotonic() - began > FIRST_CONNECTION_TIMEOUT_S:
                    raise
                log.debug("a transfer waits for its connection: %s", problem)
                await self._wait_for_another()
            else:
                self._stream, self._used = stream, ready.ticket
                self._opened = time.monotonic()
                return stream
        self._final.result()
        return None

    async def final(self, answer: EndFrame | None = None) -> Observation:
        """The action's observation; raises the error it ends in.

        A receiver's `answer` is given again for as long as the sandbox asks for it.
        """
        if answer is None:
            return await asyncio.shield(self._final)
        while (stream := await self._asked_again()) is not None:
            answer_again(stream, answer)
        return self._final.result()

    async def reason(self) -> TetherError | None:
        """Why the sandbox says that the transfer failed, if it says so in time."""
        await asyncio.wait([self._final], timeout=REASON_TIMEOUT_S)
        problem = self._final.exception() if self._final.done() else None
        return problem if isinstance(problem, TetherError) else None

    def cut(self, reason: str = "cut on request") -> None:
        """Drop the connection; another one follows."""
        if self._stream is not None:
            self._stream.abort(reason)

    # --- inside

    async def _asked_again(self) -> BulkStream | None:
        """Another connection when the present one is gone and the action goes on."""
        stream = self._stream
        if stream is not None:
            while await stream.read() is not None:
                continue
        if not self._final.done() and self._used_up:
            await self._heard(LAST_RETRY_S)  # it is the observation that comes, as a rule
        return await self.connect()

    async def _wait_for_another(self) -> None:
        """For the next ticket, or to try the last one again: at once, and then less and less often.

        A connection that held for a while is no reason to wait.
        """
        if time.monotonic() - self._opened > 2 * LAST_RETRY_S:
            self._tries.reset()
        first, pause = self._tries.first, self._tries.next()
        if not self._final.done() and (self._used_up or not first):
            await self._heard(pause)

    @property
    def _used_up(self) -> bool:
        """Whether there is no ticket that was not shown yet."""
        return self._ready is None or self._ready.ticket == self._used

    async def _heard(self, limit_s: float | None) -> None:
        self._news.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._news.wait()

    async def _listen(self) -> None:
        try:
            async with aclosing(self._follow(self._action)) as events:
                async for event in events:
                    self._take(event)
            if not self._final.done():
                raise RuntimeClosed("the runtime was closed before the transfer had ended")
        except Exception as error:
            self._final.set_exception(error)
        self._news.set()
        await asyncio.sleep(LAST_WORDS_TIMEOUT_S)
        self.cut("the transfer is over")

    def _take(self, event: Event) -> None:
        if isinstance(event, Observation):
            self._final.set_result(event)
        elif isinstance(event, TransferReady):
            self._ready = event
            self._news.set()
            self.cut("the sandbox waits for another connection")

    async def _cancel_action(self) -> None:
        """Submit that; the answer is not waited for."""
        if self._ready is None or self._ready.action_id is None:
            return
        with suppress(TetherError):
            action = CancelAction(target_id=self._ready.action_id)
            async with aclosing(self._follow(action)) as events:
                await anext(events, None)


async def open_bulk(transport: Transport, ticket: str) -> BulkStream:
    """A bulk connection that has shown its ticket; raises `TransferError`.

    The caller closes it. A ticket that is not good shows as a stream that is closed at once.
    """
    stream = BulkStream()
    try:
        connection = await transport.connect()
        notice_death(connection)
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
