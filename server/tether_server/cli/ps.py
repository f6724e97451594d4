"""`tether ps`: the sandboxes there are."""

from __future__ import annotations

import json
import os
import time

import click

from tether_image_builder.errors import engine_host

from ..inventory import Inventory, Listed, take_inventory
from .failures import complain
from .text import age, clipped, visible
from .wording import on_command_line

HEADINGS = ("NAME", "BACKEND", "IMAGE", "STATE", "AGE", "")
IMAGE_WIDTH = 40


@click.command()
@click.option("-a", "--all", "everything", is_flag=True, help="Also what is left of ended ones.")
@click.option("-q", "--quiet", is_flag=True, help="Names only.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(everything: bool, quiet: bool, as_json: bool) -> None:
    """List sandboxes, and containers that were started for sandboxes.

    An orphan is one whose server process is dead and that was not to be kept; `tether rm
    --orphans` removes them. A container with "no record" here is of another state folder
    (TETHER_STATE_DIR), or its record was deleted: only `tether rm` can do something with it.
    """
    inventory = take_inventory()
    shown = [s for s in inventory.sandboxes if everything or s.state != "ended"]
    now = time.time()
    if as_json:
        click.echo(json.dumps([_as_json(found, now) for found in shown], indent=2))
    elif quiet:
        click.echo("".join(f"{visible(found.name)}\n" for found in shown), nl=False)
    else:
        _show_table([_row(found, now) for found in shown])
    tell_what_was_not_seen(inventory)


def tell_what_was_not_seen(inventory: Inventory) -> bool:
    """Complain, and return whether there may be containers that nobody could look at."""
    problem = inventory.problem
    unknown = any(found.state == "unknown" for found in inventory.sandboxes)
    if problem is None or not (_expects_engine() or unknown):
        return False
    text = f"containers could not be looked at: {problem.message}"
    complain(text, on_command_line(problem.hint))
    return True


def _expects_engine() -> bool:
    """Whether one is named or was here; who has none wants to hear nothing of it."""
    return bool(os.environ.get("DOCKER_HOST")) or os.path.lexists(
        engine_host().removeprefix("unix://")
    )


def _row(found: Listed, now: float) -> tuple[str, ...]:
    return (
        visible(found.name),
        found.backend or "-",
        clipped(visible(found.image or "-"), IMAGE_WIDTH),
        found.state,
        age(now - found.created),
        _note(found),
    )


def _note(found: Listed) -> str:
    if found.orphan:
        note = click.style("orphan", fg="yellow")
    elif found.server_pid is not None:
        note = f"server {found.server_pid}"
    else:
        note = "kept" if found.keep else ""
    unrecorded = "no record" if found.folder is None else ""
    return ", ".join(part for part in (note, unrecorded) if part)


def _show_table(rows: list[tuple[str, ...]]) -> None:
    table = [HEADINGS, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEADINGS) - 1)]
    for row in table:
        cells = [cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)]
        click.echo("  ".join(cells).rstrip())


def _as_json(found: Listed, now: float) -> dict[str, object]:
    return {
        "name": found.name,
        "backend": found.backend,
        "image": found.image,
        "state": found.state,
        "created": found.created,
        "age_s": round(now - found.created, 1),
        "keep": found.keep,
        "orphan": found.orphan,
        "server_pid": found.server_pid,
        "container": found.container,
        "recorded": found.record is not None,
    }
