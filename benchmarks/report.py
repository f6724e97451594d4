"""What a measurement returns: rows with figures, what they are compared with, and their aims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Aim:
    """A limit for a row's `value` or for its `ratio` to the floor."""

    limit: float
    of: Literal["value", "ratio"] = "ratio"
    at: Literal["most", "least"] = "most"

    def met_by(self, figure: float) -> bool:
        """Whether a figure keeps to it."""
        return figure <= self.limit if self.at == "most" else figure >= self.limit


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table. `value` is a median where there were several samples."""

    name: str
    value: float
    unit: str
    p95: float | None = None
    p99: float | None = None
    count: int = 1
    ratio: float | None = None
    aim: Aim | None = None

    @property
    def met(self) -> bool | None:
        """Whether the aim is met; None without an aim."""
        figure = self.value if self.aim and self.aim.of == "value" else self.ratio
        return None if self.aim is None or figure is None else self.aim.met_by(figure)


@dataclass(frozen=True, slots=True)
class Report:
    """One measurement's table. `floor` names what the ratios are against."""

    name: str
    title: str
    rows: tuple[Row, ...]
    floor: str = ""
    bars: bool = True

    def as_data(self) -> dict[str, object]:
        """The same as plain values, for JSON."""
        rows = [{**asdict(row), "met": row.met} for row in self.rows]
        return {**asdict(self), "rows": rows}


def percentile(samples: Sequence[float], percent: float) -> float:
    """The sample that `percent` of all are at or below (nearest rank)."""
    ordered = sorted(samples)
    return ordered[max(0, min(len(ordered) - 1, round(percent / 100 * len(ordered)) - 1))]


def median(samples: Sequence[float]) -> float:
    """The middle sample; of an even number the lower one of the two in the middle."""
    return percentile(samples, 50)


def time_row(
    name: str,
    seconds: Sequence[float],
    *,
    unit: Literal["ms", "s"] = "ms",
    floor: Sequence[float] | None = None,
    aim: Aim | None = None,
) -> Row:
    """A row of times; its ratio is that of the medians."""
    scale = 1000 if unit == "ms" else 1
    middle = median(seconds)
    return Row(
        name=name,
        value=middle * scale,
        unit=unit,
        p95=percentile(seconds, 95) * scale,
        p99=percentile(seconds, 99) * scale,
        count=len(seconds),
        ratio=middle / median(floor) if floor else None,
        aim=aim,
    )


def rate_row(
    name: str,
    seconds: Sequence[float],
    amount: float,
    *,
    unit: str = "MB/s",
    floor: Sequence[float] | None = None,
    aim: Aim | None = None,
) -> Row:
    """A row of rates: `amount` of what `unit` counts in each sample; the slow end is its p95.

    `floor` are the seconds that the same amount took there.
    """
    middle = median(seconds)
    return Row(
        name=name,
        value=amount / middle,
        unit=unit,
        p95=amount / percentile(seconds, 95),
        p99=amount / percentile(seconds, 99),
        count=len(seconds),
        ratio=median(floor) / middle if floor else None,
        aim=aim,
    )
