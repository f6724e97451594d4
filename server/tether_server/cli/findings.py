"""What a check found, and how findings are shown."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

import click

from .text import harmless

Status = Literal["ok", "note", "missing"]
_MARKS: dict[Status, tuple[str, str]] = {
    "ok": ("✓", "green"),
    "note": ("!", "yellow"),
    "missing": ("✗", "red"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `missing` is needed and not there; a `note` is worth knowing.

    `fix` says how to get it, or what to do.
    """

    name: str
    status: Status
    detail: str
    fix: str = ""


def show(findings: Iterable[Finding], *, as_json: bool) -> bool:
    """Print them; whether nothing that is needed is missing."""
    shown: list[Finding] = []
    for finding in findings:
        shown.append(finding)
        if not as_json:
            _show_one(finding)
    healthy = all(finding.status != "missing" for finding in shown)
    if as_json:
        found = [asdict(finding) for finding in shown]
        click.echo(json.dumps({"ok": healthy, "findings": found}, indent=2))
    return healthy


def _show_one(finding: Finding) -> None:
    mark, color = _MARKS[finding.status]
    click.echo(f"{click.style(mark, fg=color)} {finding.name:<12} {harmless(finding.detail)}")
    if finding.fix:
        click.echo(f"{'':<15}→ {harmless(finding.fix)}")
