"""Plugins that go wrong beside one that does not."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest

from .house import House, house

MakeHouse = Callable[..., AbstractAsyncContextManager[House]]


@pytest.fixture
def make_house(tmp_path: Path) -> MakeHouse:
    """Enter what it returns."""
    return partial(house, tmp_path)


@pytest.fixture
def pids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where copies of a plugin's process leave their ids."""
    folder = tmp_path / "pids"
    folder.mkdir()
    monkeypatch.setenv("CORPUS_PIDS", str(folder))
    return folder
