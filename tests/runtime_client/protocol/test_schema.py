"""The wire format does not change unnoticed."""

from __future__ import annotations

from .schema import GOLDEN, render


def test_the_schema_is_the_recorded_one() -> None:
    """If this fails, the wire format changed: read `schema.py` before writing the file anew."""
    assert render() == GOLDEN.read_text()
