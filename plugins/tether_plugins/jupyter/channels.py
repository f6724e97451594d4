"""The sockets between this process and a kernel."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

import zmq
import zmq.asyncio
from jupyter_client.manager import AsyncKernelManager

from tether_runtime_client.protocol.errors import KernelUnresponsive

from . import limits
from .messages import Message, Reader

log = logging.getLogger(__name__)

_AT_ONCE = 64
_SEEN_S = 0.1
_DRAINING_S = 2.0
_QUIET_MS = 50


def new_context() -> zmq.asyncio.Context:
    """What sockets are made of; it bounds them."""
    context = zmq.asyncio.Context()
    context.setsockopt(zmq.MAXMSGSIZE, limits.MESSAGE)
    context.setsockopt(zmq.RCVHWM, limits.QUEUED_MESSAGES)
    context.setsockopt(zmq.SNDTIMEO, 0)
    context.setsockopt(zmq.LINGER, 0)
    return context


class Channels:
    """Connected to one kernel. `told` is called with all that comes by itself, in order.

    One owner, on the loop; `close` at the end.
    """

    def __init__(self, manager: AsyncKernelManager, told: Callable[[Message], None]) -> None:
        self._session = manager.session
        self._reader = Reader(manager.session.key)
        self._told = told
        self._manager = manager
        self._answers: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._seen: dict[str, asyncio.Event] = {}
        identity = manager.session.bsession
        self._iopub: Any = manager.connect_iopub()
        self._shell: Any = manager.connect_shell(identity=identity)
        self._stdin: Any = manager.connect_stdin(identity=identity)
        self._control: Any = manager.connect_control(identity=identity)
        self._iopub_task = asyncio.create_task(self._read(self._iopub, self._published))
        self._tasks = [
            asyncio.create_task(self._read(self._shell, self._answered)),
            asyncio.create_task(self._read(self._stdin, self._asked)),
        ]

    async def ready(self) -> None:
        """Return when requests are answered and what is published arrives. Bound it from outside.

        A subscription takes a moment, and what is published before it is lost: so it is asked until
        something was seen.
        """
        while True:
            identity = self.send("kernel_info_request", {})
            seen = self._seen[identity] = asyncio.Event()
            try:
                await self._answer(identity)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_SEEN_S):
                        await seen.wait()
                        return
            finally:
                del self._seen[identity]

    def subscribe_anew(self) -> None:
        """For a connection that has ended: by what was larger than is taken, it does for good."""
        self._iopub_task.cancel()
        self._iopub.close(linger=0)
        self._iopub = self._manager.connect_iopub()
        self._iopub_task = asyncio.create_task(self._read(self._iopub, self._published))

    async def ask(self, kind: str, content: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """A request's answer. Raises `KernelUnresponsive`."""
        identity = self.send(kind, content)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._answer(identity)
        except TimeoutError:
            raise KernelUnresponsive(f"the kernel did not answer in {timeout_s:g} s") from None

    def send(self, kind: str, content: dict[str, Any]) -> str:
        """Send a request on the shell channel; returns its id."""
        return self._send(self._shell, kind, content)

    def answer_input(self, text: str) -> None:
        """Give a cell what it asked for."""
        self._send(self._stdin, "input_reply", {"value": text, "status": "ok"})

    def ask_to_end(self) -> None:
        """Without waiting for it."""
        with contextlib.suppress(KernelUnresponsive):
            self._send(self._control, "shutdown_request", {"restart": False})

    async def drain(self) -> None:
        """Take what a kernel that has ended left in the sockets."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAINING_S):
                while await self._iopub.poll(_QUIET_MS):  # noqa: ASYNC110
                    await asyncio.sleep(0)  # its reader takes what there is

    def close(self) -> None:
        """Twice is safe."""
        for task in (self._iopub_task, *self._tasks):
            task.cancel()
        for socket in (self._iopub, self._shell, self._stdin, self._control):
            socket.close(linger=0)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(KernelUnresponsive("the kernel has ended", hint=""))

    def _send(self, socket: Any, kind: str, content: dict[str, Any]) -> str:
        message = self._session.msg(kind, content)
        try:
            self._session.send(socket, message)
        except zmq.Again:
            raise KernelUnresponsive("the kernel takes no requests") from None
        identity: str = message["header"]["msg_id"]
        return identity

    async def _answer(self, identity: str) -> dict[str, Any]:
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[identity] = answer
        try:
            return await answer
        finally:
            del self._answers[identity]

    def _answered(self, message: Message) -> None:
        """What kind of message may come on which channel is not for the kernel to choose."""
        answer = self._answers.get(message.parent)
        if not message.kind.endswith("_reply"):
            return
        if answer is None:
            self._told(message)
        elif not answer.done():
            answer.set_result(message.content)

    def _asked(self, message: Message) -> None:
        if message.kind == "input_request":
            self._told(message)

    def _published(self, message: Message) -> None:
        if message.kind.endswith(("_reply", "_request")):
            return
        seen = self._seen.get(message.parent)
        if seen is not None:
            seen.set()
        self._told(message)

    async def _read(self, socket: Any, take: Callable[[Message], None]) -> None:
        """A socket that has more does not let others run by itself."""
        while True:
            for _ in range(_AT_ONCE):
                message = self._reader.read(await socket.recv_multipart())
                try:
                    if message is not None:
                        take(message)
                except Exception:
                    log.exception("a %s of the kernel's was not taken", message and message.kind)
            await asyncio.sleep(0)
