"""Which transport to use: the first, in order of preference, on which the client proves itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tether_runtime_client.protocol.errors import ProtocolError, TransportUnavailable

from ..backoff import Backoff
from .base import Transport
from .probe import NoAnswer, probe

HEAD_START_S = 0.25
"""How long a transport is tried before the next one is tried beside it."""

COMING_BACK_S = 3.0
"""How long a client is waited for that is there no more: its supervisor starts another."""


OTHERS_TIMEOUT_S = 2.0
"""How long those that were not asked for are looked at when the one that was does not work."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One transport that was tried: how long it took, and the problem if there was one."""

    transport: Transport
    took_s: float = 0.0
    problem: NoAnswer | None = None

    def __str__(self) -> str:
        if self.problem is not None:
            return f"{self.transport.name} does not work: {self.problem}"
        return f"{self.transport.name} answers in {self.took_s * 1000:.0f} ms"


@dataclass(frozen=True, slots=True)
class Choice:
    """The transport that is used, and why in a sentence."""

    transport: Transport
    why: str

    def __str__(self) -> str:
        return f"{self.transport.name}: {self.transport.describe()} ({self.why})"


async def choose(
    asked: str, transports: Sequence[Transport], secret: str, *, patience_s: float = 0.0
) -> Choice:
    """The one that was asked for, or with `auto` the first that works.

    While nobody listens, or whoever listened is just gone, it is tried again for `patience_s`
    seconds.
    Raises the client's own refusal (`ProtocolError`), or `TransportUnavailable` with, in
    `data["tried"]`, what is wrong with each.
    """
    candidates = [x for x in transports if asked in ("auto", x.name)]
    if not candidates:
        names = ", ".join(transport.name for transport in transports)
        text = f"this sandbox was not set up for transport {asked!r}"
        raise TransportUnavailable(text, hint=f"It has {names}, or auto", tried={})
    tried = await _race_until(time.monotonic() + patience_s, candidates, secret)
    if tried[-1].problem is not None:
        others = [x for x in transports if x not in candidates]
        raise await _unavailable(tried, others, secret)
    if asked != "auto":
        return Choice(tried[-1].transport, f"asked for; {tried[-1]}")
    return Choice(tried[-1].transport, "; ".join(["auto", *map(str, tried)]))


async def try_one(transport: Transport, secret: str, timeout_s: float | None = None) -> Attempt:
    """Probe a transport; never raises for one that does not work."""
    try:
        return Attempt(transport, await probe(transport, secret, timeout_s))
    except NoAnswer as problem:
        return Attempt(transport, problem=problem)


async def try_all(
    transports: Sequence[Transport], secret: str, timeout_s: float | None = None
) -> list[Attempt]:
    """All at once, in the order given."""
    return await asyncio.gather(*(try_one(x, secret, timeout_s) for x in transports))


async def diagnosis(attempt: Attempt, secret: str) -> str:
    """Where the way is broken; empty for one that works, and where no more is known."""
    if attempt.problem is None:
        return ""
    return await attempt.transport.diagnose(attempt.problem, secret)


async def _race_until(
    deadline: float, candidates: Sequence[Transport], secret: str
) -> list[Attempt]:
    tries = Backoff()
    while True:
        tried = await _race(candidates, secret)
        if not any(map(_is_away, tried)) or _works(tried[-1]) or time.monotonic() > deadline:
            return tried
        await tries.wait()


def _is_away(attempt: Attempt) -> bool:
    return attempt.problem is not None and attempt.problem.kind in ("refused", "closed")


async def _race(candidates: Sequence[Transport], secret: str) -> list[Attempt]:
    """What was tried, in the order it ended; the last works, unless none does."""
    ended: list[Attempt] = []
    waiting = list(candidates)
    async with _running() as running:
        while waiting or running:
            if waiting:
                running.add(asyncio.create_task(try_one(waiting.pop(0), secret)))
            limit = HEAD_START_S if waiting else None
            done, _ = await asyncio.wait(
                running, timeout=limit, return_when=asyncio.FIRST_COMPLETED
            )
            running -= done
            attempts = sorted((task.result() for task in done), key=_works)
            ended += attempts
            if attempts and attempts[-1].problem is None:
                break
    return ended


def _works(attempt: Attempt) -> bool:
    return attempt.problem is None


@asynccontextmanager
async def _running() -> AsyncIterator[set[asyncio.Task[Attempt]]]:
    """Tasks that are cancelled, and have ended, when the block is left."""
    tasks: set[asyncio.Task[Attempt]] = set()
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _unavailable(
    tried: Sequence[Attempt], others: Sequence[Transport], secret: str
) -> TransportUnavailable | ProtocolError:
    """A client that refuses says why itself; else what is wrong with each, and what does work."""
    problems = {x.transport.name: x.problem for x in tried if x.problem is not None}
    for problem in problems.values():
        if problem.refusal is not None:
            return problem.refusal
    told = [part for x in tried for part in (str(x), await diagnosis(x, secret)) if part]
    working = [x for x in await try_all(others, secret, OTHERS_TIMEOUT_S) if x.problem is None]
    hint = "`tether doctor NAME` looks at each; the sandbox itself may be well"
    if working:
        told.append(f"It is not the client: {', '.join(map(str, working))}")
        hint = f"Start or attach with transport={working[0].transport.name!r}, or 'auto'"
    return TransportUnavailable(
        f"the runtime client is not reached: {'. '.join(told)}",
        hint=hint,
        tried={name: str(problem) for name, problem in problems.items()},
    )
