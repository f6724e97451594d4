"""A site, and a browser in this process that the tests of a module share."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from .in_process import Reader, reader
from .site import serve


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    """The address of the awkward pages."""
    server = serve()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def browser(
    chromium: str, site: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Reader]:
    """A plugin with short patience; each test uses contexts of its own."""
    async with reader(tmp_path_factory.mktemp("browser"), site) as one:
        yield one


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Something to upload."""
    path = tmp_path / "note.txt"
    path.write_text("a note")
    return path
