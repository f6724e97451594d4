"""Holding mapped ports until somebody has enough of it, and listing what is mapped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import click

from tether_runtime_client.protocol.errors import SandboxNotFound
from tether_runtime_client.protocol.events import (
    Connected,
    PortTrouble,
    SandboxInterrupted,
)

from ..operator import OperatorRuntime
from ..ports.records import PortRecord, listed
from ..record import load_record
from .failures import complain
from .interrupts import Interrupts, run_async
from .pairs import is_port_pair
from .phrases import phrase
from .progress import ProgressDisplay
from .text import visible

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from ..ports import Forward, Reverse
    from ..ports.mapping import Mapping

M = TypeVar("M", "Forward", "Reverse")
WIDTH = 200


def hold(
    name: str,
    make: Callable[[OperatorRuntime], Awaitable[Sequence[M]]],
    describe: Callable[[M], str],
) -> int:
    """Map ports beside whoever controls the sandbox, and hold them; returns the exit code.

    They go with this process, or with the sandbox, whose end is raised.
    """
    display = ProgressDisplay(quiet=False)

    async def work(interrupts: Interrupts) -> int:
        interrupts.farewell = "closing the ports; the same again leaves at once"
        with display:
            runtime = await OperatorRuntime.beside(name, progress=display.say).__aenter__()
        try:
            made = await make(runtime)
            click.echo("".join(f"{describe(mapping)}\n" for mapping in made), nl=False)
            interrupts.farewell = ""  # to end it is how it is used
            await _until_one_ends(runtime, made)
        finally:
            await runtime.close()
        return 0

    return run_async(work)


async def _until_one_ends(runtime: OperatorRuntime, made: Sequence[M]) -> None:
    ended = asyncio.Event()
    for mapping in made:
        mapping.on_closed(lambda _: ended.set())
        mapping.on_recovered(_say_recovered)
    telling = asyncio.create_task(_tell_troubles(runtime))
    try:
        if not any(mapping.closed for mapping in made):
            await ended.wait()
    finally:
        telling.cancel()
        with suppress(asyncio.CancelledError):
            await telling
    for mapping in made:
        if mapping.problem is not None:
            raise mapping.problem


def _say_recovered(mapping: Mapping) -> None:
    complain(f"connections succeed again: {mapping.url}")


async def _tell_troubles(runtime: OperatorRuntime) -> None:
    interrupted = False
    async for event in runtime.events.subscribe():
        if isinstance(event, PortTrouble | SandboxInterrupted):
            complain(phrase(event, WIDTH))
            interrupted |= isinstance(event, SandboxInterrupted)
        elif isinstance(event, Connected) and interrupted:
            complain("the sandbox runs again")
            interrupted = False


def show_list(name: str | None) -> None:
    """What is mapped on this machine, of one sandbox or of all.

    Raises `SandboxNotFound` for one that is not known, as when the name was forgotten.
    """
    if name is not None:
        _check_known(name)
    rows = [("SANDBOX", "WHERE", "LEADS TO", "PROCESS", "NOTE")]
    for one in listed(name):
        forward = one.direction == "forward"
        where = one.url if forward else f"{one.url} inside"
        leads_to = f"{one.inside} inside" if forward else one.here
        note = _note(one)
        rows.append((one.sandbox, where, leads_to, str(one.pid), note))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [visible(cell).ljust(width) for cell, width in zip(row, widths, strict=True)]
        click.echo("  ".join(cells).rstrip())


def _note(one: PortRecord) -> str:
    """Where else than at its URL it listens, and what is asked of whoever connects."""
    elsewhere = one.direction == "forward" and one.here not in one.url
    return ", ".join(filter(None, (f"on {one.here}" if elsewhere else "", one.protection)))


def _check_known(name: str) -> None:
    try:
        load_record(name)
    except SandboxNotFound as problem:
        if is_port_pair(name):
            problem.hint = f"The sandbox's name comes first: `tether forward NAME {name}`"
        raise
