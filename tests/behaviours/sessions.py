"""Many sessions of one runtime, side by side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace

from .conftest import Shell


@asynccontextmanager
async def sessions(shell: Shell, names: Iterable[str]) -> AsyncIterator[dict[str, Shell]]:
    """A session of its own for each name; what was started in them is ended."""
    own = {
        name: replace(shell, session=f"{shell.session}-{number}")
        for number, name in enumerate(names)
    }
    try:
        yield own
    finally:
        await asyncio.gather(*(one.reset() for one in own.values()))
