"""`tether events`: a sandbox's history, also while it grows and after the sandbox is gone."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from tether_runtime_client.protocol.errors import SandboxNotFound
from tether_runtime_client.protocol.events import Event, SandboxStopped

from ..history import History
from ..record import sandbox_folder
from ..watch import FolderWatch
from .names import SANDBOX
from .show import describe

HISTORY, RECORD, CLAIM = "history.sqlite3", "sandbox.json", "claim"
LAST_WORDS_S = 2.0
"""How long a server may take to write the last events after it has dropped its record."""

ASIDE = 36
"""The columns in front of what happened."""


@click.command()
@click.argument("name", type=SANDBOX)
@click.option("-f", "--follow", is_flag=True, help="Go on as events come, until the sandbox ends.")
@click.option("--since", type=click.IntRange(min=0), default=0, help="After event number N.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def command(name: str, follow: bool, since: int, as_json: bool) -> None:
    """Show what happened in the sandbox NAME, one event a line.

    It works beside a running server, and after the sandbox is gone.
    """
    folder = _folder(name)
    color = sys.stdout.isatty()
    width = max(40, shutil.get_terminal_size((200, 24)).columns - ASIDE)
    for event in _events(folder, since, follow=follow):
        if as_json:
            click.echo(event.model_dump_json())
        else:
            click.echo(describe(event, color=color, width=width // 2))


def _folder(name: str) -> Path:
    try:
        folder = sandbox_folder(name)
    except ValueError as problem:
        raise click.BadParameter(str(problem)) from None
    if not (folder / HISTORY).exists():
        raise SandboxNotFound(
            f"there is no history of a sandbox named {name!r}",
            hint="`tether ps --all` lists the sandboxes that there are and were",
        )
    return folder


def _events(folder: Path, since: int, *, follow: bool) -> Iterator[Event]:
    history = History(folder / HISTORY)
    try:
        if not follow:
            yield from history.since(since)
            return
        with FolderWatch(folder, HISTORY, RECORD, CLAIM) as watch:
            yield from _followed(folder, history, since, watch)
    finally:
        history.close()


def _followed(folder: Path, history: History, since: int, watch: FolderWatch) -> Iterator[Event]:
    """Until the sandbox has ended, or what is recorded of it was removed."""
    while True:
        recorded = (folder / RECORD).exists() or (folder / CLAIM).exists()
        for event in history.since(since):
            since = event.seq
            yield event
            if isinstance(event, SandboxStopped):
                return
        if not watch.wait(None if recorded else LAST_WORDS_S):
            return
