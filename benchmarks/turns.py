"""Measuring several things in turns, so that a noisy machine is noisy for all of them alike."""

from __future__ import annotations

import gc
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager

Step = Callable[[], Awaitable[object]]


async def take_turns(
    steps: Mapping[str, Step],
    *,
    rounds: int,
    block: int = 1,
    blocks: Mapping[str, int] | None = None,
    after: Callable[[], object] | None = None,
) -> dict[str, list[float]]:
    """Seconds each step took, in `rounds` of `block` runs each: A A A B B B A A A B B B …

    A block lets a step run with its own caches warm; `blocks` says where one is shorter. Each step
    is run once before, unmeasured. `after` is called after each run, unmeasured: it looks at what
    was done, and clears it away.
    """
    after = after or _nothing
    sizes = dict.fromkeys(steps, block) | dict(blocks or {})
    samples: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        await step()
        after()
    with _opened_before_kept():
        for _ in range(rounds):
            for name, step in steps.items():
                for _ in range(sizes[name]):
                    begin = time.perf_counter()
                    await step()
                    samples[name].append(time.perf_counter() - begin)
                    after()
    return samples


@contextmanager
def _opened_before_kept() -> Iterator[None]:
    """Nobody's turns pay for what the others have opened in this process: the collector of garbage
    does not look through it.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _nothing() -> None:
    """Most leave nothing behind."""
