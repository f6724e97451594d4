"""Where sessions were outlives the client."""

from __future__ import annotations

from pathlib import Path

import pytest

from tether_runtime_client.handlers.session_places import SessionPlaces


def test_a_later_life_knows_where_sessions_were(tmp_path: Path) -> None:
    places = SessionPlaces(tmp_path / "shells")
    assert places.earlier("a") is None
    for place in ("/x", "/x", "/y\n\udcff"):
        places.note("a", place)
    places.note("b", "/b")
    for _ in range(2):  # also after one in which nobody used them
        later = SessionPlaces(tmp_path / "shells")
        assert (later.earlier("a"), later.earlier("b")) == ("/y\n\udcff", "/b")
    assert later.earlier("c") is None


def test_a_place_that_cannot_be_noted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    places = SessionPlaces(tmp_path / "shells")
    places.note("x" * 300, "/x")
    assert "cannot be noted" in caplog.text
