"""The plugin in this process: no client, no sandbox, real kernels."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tether_plugins.jupyter.config import JupyterConfig
from tether_plugins.jupyter.plugin import Jupyter
from tether_runtime_client.plugin import PluginEvent, PluginPlaces
from tether_runtime_client.plugin.base import HANDLES
from tether_runtime_client.protocol.jupyter import (
    IPythonRunCellAction,
    IPythonRunCellObservation,
    IPythonStreamDelta,
)

_numbers = itertools.count(1)


@dataclass
class Context:
    """An `ActionContext` that keeps what is told."""

    folder: Path
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    action_id: str = field(default_factory=lambda: f"a{next(_numbers)}")
    told: list[PluginEvent] = field(default_factory=list)
    written: asyncio.Event = field(default_factory=asyncio.Event)

    def emit(self, event: PluginEvent) -> None:
        self.told.append(event)
        if isinstance(event, IPythonStreamDelta):
            self.written.set()

    async def session_folder(self, session: str = "default") -> Path:
        return self.folder

    async def session_environment(self, session: str = "default") -> dict[str, str]:
        return self.environment


class Notebook:
    """Short names for tests."""

    def __init__(self, plugin: Jupyter, folder: Path) -> None:
        self.plugin = plugin
        self.folder = folder
        self.environment = dict(os.environ)
        self.told: list[PluginEvent] = []

    async def run(self, code: str, **fields: Any) -> IPythonRunCellObservation:
        """A cell; `told` has its events afterwards."""
        seen = await self.do(IPythonRunCellAction(code=code, **fields))
        assert isinstance(seen, IPythonRunCellObservation)
        return seen

    async def begin(self, code: str, **fields: Any) -> asyncio.Task[IPythonRunCellObservation]:
        """A cell that is running when this returns, and has written something."""
        context = Context(self.folder, self.environment)
        action = IPythonRunCellAction(code=f"print('begun', flush=True)\n{code}", **fields)
        running = asyncio.create_task(self.do(action, context))
        await context.written.wait()
        return running

    async def do(self, action: Any, context: Context | None = None) -> Any:
        """Any action."""
        context = context or Context(self.folder, self.environment)
        self.told = context.told
        for name in dir(type(self.plugin)):
            method = getattr(self.plugin, name)
            if getattr(method, HANDLES, None) is type(action):
                return await method(action, context)
        raise AssertionError(f"nothing handles {action}")


@asynccontextmanager
async def notebook(
    folder: Path, prefix: Path | None = None, **config: Any
) -> AsyncIterator[Notebook]:
    """A plugin that has been started, and ends with the block."""
    for name in ("state", "workdir", "plugins"):
        (folder / name).mkdir(exist_ok=True)
    plugin = Jupyter.__new__(Jupyter)
    plugin.config = JupyterConfig(**{"python": "environment", **config})
    plugin.places = PluginPlaces(
        prefix=prefix,
        state=folder / "state",
        workdir=folder / "workdir",
        plugins=folder / "plugins",
        skills=folder / "skills",
    )
    plugin.__init__()  # type: ignore[misc]
    await plugin.start()
    try:
        yield Notebook(plugin, folder)
    finally:
        await plugin.stop()
