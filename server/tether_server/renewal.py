"""A secret with a lifetime, changed by whoever controls the sandbox before that is over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from tether_runtime_client.protocol.errors import RuntimeClosed, TetherError

LONGEST_RETRY_S = 5.0

log = logging.getLogger(__name__)


async def renew_for_ever(
    rotate: Callable[[], Awaitable[None]], lifetime_s: float, *, at_once: bool
) -> None:
    """Change it at half of its life, and `at_once` where nobody knows how old it is."""
    pause = 0.0 if at_once else lifetime_s / 2
    while True:
        await asyncio.sleep(pause)
        pause = lifetime_s / 2
        try:
            await rotate()
        except RuntimeClosed:
            return
        except (TetherError, OSError) as problem:
            log.warning("the secret of a sandbox was not changed: %s", problem)
            pause = min(lifetime_s / 20, LONGEST_RETRY_S)
