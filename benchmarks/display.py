"""Reports as tables and bars in a terminal."""

from __future__ import annotations

from rich.bar import Bar
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .report import Aim, Report, Row


def show(report: Report, console: Console) -> None:
    """Print a report's table and, where its rows are of one kind, bars."""
    console.print(_table(report))
    if report.bars:
        console.print(_bars(report))
    console.print()


def _table(report: Report) -> Table:
    caption = f"ratio: to {report.floor}" if report.floor else None
    table = Table(title=f"{report.name}: {report.title}", title_justify="left", caption=caption)
    table.add_column("", overflow="fold")
    for heading in ("p50", "p95", "p99", "n", "ratio", "aim", "met"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in report.rows:
        table.add_row(*_cells(row))
    return table


def _cells(row: Row) -> list[Text]:
    p95, p99 = ("" if it is None else _figure(it, row.unit) for it in (row.p95, row.p99))
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    met = {None: Text(""), True: Text("yes", "green"), False: Text("no", "bold red")}[row.met]
    plain = (row.name, _figure(row.value, row.unit), p95, p99, str(row.count), ratio, _aim(row))
    return [*map(Text, plain), met]


def _figure(value: float, unit: str) -> str:
    """Three significant digits or so: more would be noise."""
    digits = 0 if value >= 100 or not unit else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:.{digits}f} {unit}".strip()


def _aim(row: Row) -> str:
    if row.aim is None:
        return ""
    sign = {"most": "≤", "least": "≥"}[row.aim.at]
    return f"{sign} {_limit(row.aim, row.unit)}"


def _limit(aim: Aim, unit: str) -> str:
    return f"{aim.limit:.3g} x" if aim.of == "ratio" else f"{aim.limit:g} {unit}"


def _bars(report: Report) -> Table:
    """Horizontal bars of the medians, all to one scale."""
    longest = max((row.value for row in report.rows), default=0) or 1
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(justify="right")
    grid.add_column(ratio=1)
    grid.add_column(justify="right")
    for row in report.rows:
        bar = Bar(longest, 0, row.value, color="cyan" if "Tether" in row.name else "white")
        grid.add_row(row.name, bar, _figure(row.value, row.unit))
    return grid
