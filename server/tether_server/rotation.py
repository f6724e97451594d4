"""The server's part in changing a secret: two questions on an event connection, and answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tether_runtime_client.protocol import auth
from tether_runtime_client.protocol.errors import (
    ProtocolError,
    RotationFailed,
    Unauthorized,
    UnexpectedFrame,
)
from tether_runtime_client.protocol.frames import (
    ConfirmFrame,
    RotatedFrame,
    RotateFrame,
    RotatingFrame,
    encode,
)
from tether_runtime_client.protocol.rotation import Agreed, Half

UNCHANGED = "the secret is as it was"
ANSWER_TIMEOUT_S = 15.0


class Rotation:
    """On one connection; `lost` is done when that is lost. `agree`, then `confirm`."""

    def __init__(self, send: Callable[[bytes], None], lost: asyncio.Future[str]) -> None:
        self._send = send
        self._lost = lost
        self._answer: asyncio.Future[RotatingFrame | RotatedFrame] | None = None

    async def agree(self, secret: str) -> Agreed:
        """On another one than the present `secret`; raises `RotationFailed`."""
        half = Half()
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                answer = await self._ask(RotateFrame(public=half.public))
            if not isinstance(answer, RotatingFrame):
                raise UnexpectedFrame("it answered something else")
            agreed = half.for_server(secret, answer.public)
            if not auth.matches(answer.proof, agreed.client_proof):
                raise Unauthorized("its proof is wrong")
        except TimeoutError:
            raise RotationFailed(f"{UNCHANGED}: the sandbox does not answer") from None
        except (ConnectionError, ProtocolError) as problem:
            text = problem.message if isinstance(problem, ProtocolError) else str(problem)
            raise RotationFailed(f"{UNCHANGED}: {text}") from None
        return agreed

    async def confirm(self, agreed: Agreed) -> None:
        """Return when it alone is accepted; raises `ConnectionError`."""
        await self._ask(ConfirmFrame(proof=agreed.server_proof))

    def on_answer(self, frame: RotatingFrame | RotatedFrame) -> None:
        """Take what came; raises `UnexpectedFrame` when nothing was asked."""
        if self._answer is None or self._answer.done():
            raise UnexpectedFrame(f"nobody asked for a {frame.type} frame")
        self._answer.set_result(frame)

    async def _ask(self, question: RotateFrame | ConfirmFrame) -> RotatingFrame | RotatedFrame:
        answer: asyncio.Future[RotatingFrame | RotatedFrame]
        answer = self._answer = asyncio.get_running_loop().create_future()
        self._send(encode(question))
        waited_for: list[asyncio.Future[Any]] = [answer, self._lost]
        try:
            await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._answer = None
        if not answer.done():
            raise ConnectionError(self._lost.result())
        return answer.result()
