"""The command `runtime-build prune`."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from .display import open_display
from .exits import exit_codes

if TYPE_CHECKING:
    from .models import Leftover, PruneResult

EPILOG = """
\b
Each PATTERN is a name with `*` and `?`, as in 'team/*'; without one, all is looked at.

\b
Standard output has a line for each thing that is gone and one for the room that made;
what stays, and why, is in `--output json`. Exit codes are those of runtime-build.
"""

_DURATION = re.compile(r"(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


def _duration(_: click.Context, __: click.Parameter, value: str | None) -> timedelta | None:
    if value is None:
        return None
    found = _DURATION.fullmatch(value)
    if not found or not value:
        raise click.BadParameter("no duration; some are 12h, 7d and 1h30m")
    names = ("weeks", "days", "hours", "minutes", "seconds")
    return timedelta(
        **{name: int(number or 0) for name, number in zip(names, found.groups(), strict=True)}
    )


@click.command(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("patterns", nargs=-1, metavar="[PATTERN]...")
@click.option(
    "--all", "everything", is_flag=True, help="Also what is wanted, but for what a container uses."
)
@click.option(
    "--older-than",
    callback=_duration,
    metavar="DURATION",
    help="Only what was made longer ago than this: 12h, 7d, 1h30m.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@click.option(
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Lines for people, or all that is known.",
)
def prune(
    patterns: tuple[str, ...],
    everything: bool,
    older_than: timedelta | None,
    dry_run: bool,
    output: str,
) -> None:
    """Remove images and environments that are no longer wanted.

    Wanted is what has the runtime environment that runtime-build would put in today, and what a
    container uses. Only what runtime-build and Tether made on this engine is looked at: an image
    that has a name of yours, that was built on top of one of these, pulled or loaded stays.
    """
    from .prune import prune_images

    with exit_codes():
        with open_display(sys.stderr) as display:
            result = prune_images(
                *patterns,
                everything=everything,
                older_than=older_than,
                dry_run=dry_run,
                progress=display,
            )
        click.echo(_as_text(result) if output == "text" else _as_json(result))


def _as_text(result: PruneResult) -> str:
    verb = "would free" if result.dry_run else "freed"
    lines = [_line(each) for each in result.removed]
    return "\n".join([*lines, f"{verb} {result.bytes_freed / 1e6:.1f} MB"])


def _line(each: Leftover) -> str:
    return f"{each.kind} {each.name} {each.bytes / 1e6:.1f} MB"


def _as_json(result: PruneResult) -> str:
    return json.dumps(dataclasses.asdict(result), indent=2)
