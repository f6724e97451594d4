"""A context's cookies and storage, in a file."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext


async def save(context: BrowserContext, path: Path) -> None:
    """The file has sessions' secrets: nobody else may read it."""
    state = await context.storage_state(indexed_db=True)
    await asyncio.to_thread(_write, path, json.dumps(state, indent=1).encode())


def _write(path: Path, data: bytes) -> None:
    """Beside it first: what was there stays until all of it is written."""
    new = path.with_name(f".{path.name}.new")
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(file, "wb") as stream:
            os.fchmod(file, 0o600)
            stream.write(data)
        new.replace(path)
    except OSError:
        with suppress(OSError):
            new.unlink()
        raise
