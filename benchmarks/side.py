"""Rows of times in which Tether stands beside a floor, and others beside Tether in the same place.

A peer's ratio is how many times as long it takes as Tether does where it works itself: on this
machine, or in a container.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from .report import Aim, Row, time_row

RATIO = "the floor for Tether, Tether in the same place for the rest, p50 to p50"

Place = Literal["local", "docker"]


def tether(place: str) -> str:
    """What a runtime's step is called."""
    return f"Tether, {place}"


def side_rows(
    label: str,
    samples: Mapping[str, list[float]],
    places: Mapping[str, Place],
    *,
    floor: str,
    aim: Aim | None = None,
    aims: Mapping[str, Aim] | None = None,
    unit: Literal["ms", "s"] = "ms",
) -> list[Row]:
    """A row for each of `samples`. `aim` is Tether's, to the floor; `aims` those of the peers.

    `places` says where each peer works; what is not in it is the floor or Tether.
    """
    rows = []
    for name, times in samples.items():
        against, limit = samples.get(floor), aim
        if name in places:
            against, limit = samples.get(tether(places[name])), (aims or {}).get(name)
        if name == floor or against is None:
            against, limit = None, None
        rows.append(time_row(f"{label}: {name}", times, unit=unit, floor=against, aim=limit))
    return rows
