"""A plugin in this process that the tests of a module share; what they break they name."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from .in_process import Notebook, notebook


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Notebook]:
    """A notebook with a short patience for cells that ignore interrupts."""
    folder = tmp_path_factory.mktemp("jupyter")
    async with notebook(folder, interrupt_grace_s=2) as one:
        yield one
