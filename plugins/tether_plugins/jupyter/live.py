"""A kernel that lives: its process, its channels, and the cell that it runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from tether_runtime_client.protocol.errors import (
    KernelStartFailed,
    KernelUnresponsive,
    WorkingDirectoryMissing,
)
from tether_runtime_client.protocol.jupyter import KernelEnd
from tether_runtime_client.protocol.render import HeadTail

from . import limits
from .cell import Cell
from .channels import Channels
from .files import CellFiles
from .launch import Started
from .messages import Message
from .text import field, plain, sane

_LATE_S = 3.0
"""After a cell's reply its last outputs, or after those its reply, come at once, or not at all."""

_LOST = (
    "its last outputs did not come: a message of more than"
    f" {limits.MESSAGE // 1024**2} MiB is not taken, and nothing behind it"
)
_FOLDER_S = 5.0
_READY_S = 30.0


class LiveKernel:
    """One owner, on the loop. `gone` is set when nothing is left of it.

    `on_free` is called when the cell has ended, and another may be run.
    """

    def __init__(self, name: str, started: Started, on_free: Callable[[], None]) -> None:
        self.name = name
        self.process = started.process
        self.python = started.python
        self.cell: Cell | None = None
        self.execution_count = 0
        self.gone = asyncio.Event()
        self._started = started
        self._on_free = on_free
        self._background = HeadTail(limits.BACKGROUND)
        self._replied = self._idle = False
        self._timer: asyncio.TimerHandle | None = None
        self._told_at = 0.0
        self._deaf = False
        self._channels = Channels(started.manager, self._told)
        self._ending: asyncio.Task[None] | None = None
        self.process.on_end = self._on_end
        if self.process.end is not None:
            self._on_end(self.process.end)

    @property
    def has_ended(self) -> bool:
        """Whether its process has; what it said last may still come."""
        return self.process.end is not None

    async def listen(self) -> None:
        """Return when outputs come again, where they did not. Raises `KernelUnresponsive`."""
        if self._deaf:
            self._channels.subscribe_anew()
            try:
                async with asyncio.timeout(_READY_S):
                    await self._channels.ready()
            except TimeoutError:
                raise KernelUnresponsive("nothing comes from the kernel any more") from None
            self._deaf = False

    async def come_up(self) -> None:
        """Return when cells may be run. Raises `KernelStartFailed`."""
        try:
            async with asyncio.timeout(_READY_S):
                await self._channels.ready()
        except (TimeoutError, KernelUnresponsive) as problem:
            self.process.kill("killed", "it did not come up")
            await self.gone.wait()
            raise KernelStartFailed(f"the kernel came up and did not answer: {problem}") from None

    def execute(self, code: str, allow_input: bool, files: CellFiles) -> Cell:
        """Begin a cell. There must be no other."""
        assert self.cell is None
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": allow_input,
            "stop_on_error": True,
        }
        self._replied = self._idle = False
        identity = self._channels.send("execute_request", content)
        self.cell = Cell(self.name, identity, files)
        return self.cell

    async def enter(self, folder: str) -> None:
        """Change the kernel's directory, as `%cd` would.

        Raises `WorkingDirectoryMissing` and `KernelUnresponsive`.
        """
        code = f"__import__('os').chdir({folder!r})"
        content = {"code": code, "silent": True, "store_history": False, "allow_stdin": False}
        answer = await self._channels.ask("execute_request", content, _FOLDER_S)
        if answer.get("status") != "ok":
            why = field(answer, "evalue", limits.NAME)
            raise WorkingDirectoryMissing(f"the kernel cannot enter {folder}: {why}", path=folder)

    async def ask(self, kind: str, content: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """An answer of the kernel's. Raises `KernelUnresponsive`."""
        return await self._channels.ask(kind, content, timeout_s)

    def answer_input(self, text: str) -> None:
        """Give the cell what it asked for."""
        assert self.cell is not None
        self.cell.answered()
        self._channels.answer_input(text)

    async def interrupt(self, cell: Cell, within_s: float) -> bool:
        """Interrupt a cell once it is begun, and twice if need be; whether it has ended."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s / 2):
                await cell.running.wait()  # before that the kernel does not listen
        for _ in range(2):
            if self.cell is cell:
                self.process.interrupt()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s / 2):
                    await cell.ended.wait()
                    return True
        return cell.ended.is_set()

    def ask_to_end(self) -> None:
        """As politely as Jupyter does it, without waiting."""
        self._channels.ask_to_end()

    def take_background(self) -> str:
        """What earlier cells wrote since it was last asked for."""
        kept, self._background = self._background, HeadTail(limits.BACKGROUND)
        return plain(kept.kept().decode("utf-8", "replace")) if kept.total else ""

    def _told(self, message: Message) -> None:
        self._told_at = asyncio.get_running_loop().time()
        cell, content = self.cell, message.content
        if cell is None or message.parent != cell.message_id:
            self._told_of_another(message)
        elif message.kind == "execute_reply":
            cell.replied(content)
            self._replied = True
            self._settle()
        elif message.kind == "input_request":
            cell.asks(content)
        else:
            cell.take(message.kind, content)
            if message.kind == "status" and content.get("execution_state") == "idle":
                self._idle = True
                self._settle()

    def _told_of_another(self, message: Message) -> None:
        """Of a cell that has ended, as far as anybody can tell."""
        text = message.content.get("text")
        if message.kind == "stream" and isinstance(text, str):
            self._background.write(sane(text).encode())
        elif message.kind == "update_display_data" and self.cell is not None:
            self.cell.take(message.kind, message.content)

    def _settle(self) -> None:
        """The cell has ended when both has been said: the reply, and that all outputs are out."""
        if self._replied and self._idle:
            self._finish()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_LATE_S, self._finish_without)

    def _finish_without(self) -> None:
        """Once nothing has come for a while: much may come between a reply and its cell's end."""
        loop = asyncio.get_running_loop()
        due = self._told_at + _LATE_S
        if loop.time() < due:
            self._timer = loop.call_at(due, self._finish_without)
            return
        if self.cell is not None:
            self._deaf = self._replied
            self.cell.problems.append(_LOST if self._replied else "its reply did not come")
        self._finish()

    def _finish(self, end: KernelEnd | None = None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        cell, self.cell = self.cell, None
        if cell is not None:
            self.execution_count = cell.execution_count or self.execution_count
            cell.finish(end)
            self._on_free()

    def _on_end(self, end: KernelEnd) -> None:
        self._ending = asyncio.create_task(self._wind_up(end))

    async def _wind_up(self, end: KernelEnd) -> None:
        try:
            await self._channels.drain()
        finally:
            self._channels.close()
            self._started.remove()
            self._finish(end)
            self.gone.set()
