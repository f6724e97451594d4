"""The package of a plugin, installed where this process and its local sandboxes find it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from . import tides


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where packages are installed for this test, of which nothing is imported yet."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    with tides.fresh_classes():
        yield folder


@pytest.fixture
def installed(site: Path) -> Path:
    """With the plugin `tides` in it."""
    tides.install(site)
    return site
