"""Waits, and what is none, of programs that bare images have: the client's own Python, applets."""

from __future__ import annotations

import asyncio

import pytest

from tether_server import EventStreamRuntime

from ..places import ENGINE
from .conftest import Shell
from .sessions import sessions
from .test_interaction import BUSY_PYTHON, PYTHON_WAITS, NewShell, new_shell, none_waits

__all__ = ["new_shell"]

PYTHON = "/opt/tether/bin/python3"
SERVES = {
    "debian": "perl -MIO::Socket::INET -e 'IO::Socket::INET->new(Listen => 5)->accept'",
    "busybox": "httpd -f -p 127.0.0.1:8199",
}
"""What there is to serve with."""

bare = pytest.mark.parametrize(
    "runtime",
    [pytest.param("debian", marks=ENGINE), pytest.param("busybox", marks=ENGINE)],
    indirect=True,
)


@bare
async def test_a_python_that_reads_is_seen_to_wait(shell: Shell) -> None:
    """Each in a session of its own, side by side."""
    async with sessions(shell, PYTHON_WAITS) as own:
        await asyncio.gather(*(waits(own[name], *PYTHON_WAITS[name]) for name in PYTHON_WAITS))


async def waits(shell: Shell, code: str, answer: str) -> None:
    seen = await shell.run(f"PYTHON_BASIC_REPL=1 {PYTHON} {code}", timeout_s=20)
    assert (seen.status, seen.wait_evidence) == ("waiting_for_input", "exact"), (code, seen)
    assert (await shell.type(answer, timeout_s=20)).status == "completed", code


@bare
async def test_what_serves_or_is_busy_is_not_waiting(
    new_shell: NewShell,
    runtime: EventStreamRuntime,
    request: pytest.FixtureRequest,
) -> None:
    place: str = request.node.callspec.params["runtime"]
    names = ("http server", "event loop", "a thread that waits for another")
    await none_waits(
        new_shell, [SERVES[place], *(f"{PYTHON} {BUSY_PYTHON[name]}" for name in names)]
    )
