"""How a container's supervisor gets the secret: on its standard input, in each of its lives anew.

Whatever is written there is for whoever reads first. So it is written before anything else runs,
or, behind an entrypoint of the image's own, once the supervisor's log says that it waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from functools import partial
from typing import TYPE_CHECKING, Any

from ..transports.engine_stream import raw_socket, read_pieces
from .client_log import READY_LINE, ClientLog
from .entry import WAITING_LINE
from .in_thread import in_thread
from .sandbox_end import moment

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container
    from docker.types.daemon import CancellableStream

LOOK_BACK_BYTES = 1024 * 1024
"""How much of a life's log is looked through for a line that stands near its beginning."""

log = logging.getLogger(__name__)


class Handover:
    """The attached stream of one container, and what has been read on it.

    `through` says that another program of the image's comes first.
    """

    def __init__(self, engine: docker.DockerClient, container: Container, *, through: bool) -> None:
        self._engine = engine
        self._container = container
        self._through = through
        self._tasks: list[asyncio.Task[None]] = []
        self.log = ClientLog()

    async def attach(self) -> socket.socket:
        """The container's streams; before it is started, so that nothing it writes is missed."""
        return await in_thread(self._attach, socket.socket.close)

    async def give(self, stream: socket.socket, secret: str) -> None:
        """Write the secret: at once to a supervisor that is first, else when it has begun.

        What the image's entrypoint reads from standard input is then not the secret.
        """
        try:
            await self.let_go()
            self.log.begin()
            if not self._through:
                await _write(stream, secret)
        except BaseException:
            stream.close()
            raise
        reading = asyncio.create_task(self._read_log(stream))
        reading.add_done_callback(lambda _: stream.close())  # it may be cancelled before it begins
        self._tasks.append(reading)
        if self._through:
            self._tasks.append(asyncio.create_task(self._write_when_waited_for(stream, secret)))

    async def give_late(self, secret: str) -> None:
        """The same to a container that was started by somebody else, perhaps long ago.

        What it said before we listened the engine's log has. That is followed, since the engine
        writes it some time after it tells who is attached.
        """
        await self.give(await self.attach(), secret)
        if lines := await in_thread(partial(self._lines, follow=True), _close):
            self._tasks.append(asyncio.create_task(self._look_back(lines)))

    async def was_given(self) -> bool:
        """Whether the log of the container's present life says that the client came up."""
        return await in_thread(self._has_come_up)

    async def let_go(self) -> None:
        """Read no more. Twice is safe."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- inside

    def _attach(self) -> socket.socket:
        params = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        return own(self._engine.api.attach_socket(str(self._container.id), params=params))

    def _has_come_up(self) -> bool:
        lines = self._lines(follow=False)
        if lines is None:
            return False
        size = 0
        try:
            for line in lines:
                size += len(line)
                if READY_LINE in line or size > LOOK_BACK_BYTES:
                    return READY_LINE in line
        finally:
            _close(lines)
        return False

    def _lines(self, *, follow: bool) -> CancellableStream[bytes] | None:
        """The log of this life, if the engine keeps one that can be read.

        From the end of the life before: the start is noted up to 50 ms after the first line.
        """
        import docker.errors

        try:
            self._container.reload()
            ended = moment(self._container.attrs["State"]["FinishedAt"])
            since = ended if ended > 0 else None  # there was no life before
            return self._container.logs(stream=True, follow=follow, since=since)
        except docker.errors.APIError as problem:
            log.info("the engine has no log to look back in: %s", problem.explanation)
            return None

    async def _look_back(self, lines: CancellableStream[bytes]) -> None:
        loop = asyncio.get_running_loop()

        def read() -> None:
            for line in lines:
                if WAITING_LINE in line:
                    loop.call_soon_threadsafe(self.log.tell_waiting)
                if READY_LINE in line:
                    loop.call_soon_threadsafe(self.log.tell_ready)

        reading = asyncio.create_task(asyncio.to_thread(read))
        try:
            await self.log.listening.wait()
        finally:
            lines.close()  # which ends the thread
            await reading

    async def _write_when_waited_for(self, stream: socket.socket, secret: str) -> None:
        await self.log.waiting.wait()
        if stream.fileno() >= 0:
            with contextlib.suppress(ConnectionError):
                await _write(stream, secret)

    async def _read_log(self, stream: socket.socket) -> None:
        try:
            with contextlib.suppress(ConnectionError):
                await read_pieces(stream, lambda _, piece: self.log.write(bytes(piece)))
        finally:
            self.log.end()


async def _write(stream: socket.socket, secret: str) -> None:
    await asyncio.get_running_loop().sock_sendall(stream, secret.encode() + b"\n")


def _close(lines: CancellableStream[bytes] | None) -> None:
    """A log that is not read in another thread: its own `close` leaves a socket."""
    if lines is not None:
        lines._response.close()  # type: ignore[attr-defined]


def own(hijacked: Any) -> socket.socket:
    """A socket of our own for a hijacked connection; the SDK's, and its response, are closed."""
    theirs = raw_socket(hijacked)
    ours = theirs.dup()
    ours.setblocking(False)
    # The response goes first: it flushes the file that the socket's wrapper is.
    getattr(hijacked, "_response", hijacked).close()
    theirs.close()
    return ours
