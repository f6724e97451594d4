"""Runtimes that tests share, one of each place: this machine, Debian, and nothing but busybox."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tether_server import EventStreamRuntime

ENGINE = pytest.mark.engine
PLACES = [
    "local",
    pytest.param("debian", marks=ENGINE),
    pytest.param("busybox", marks=ENGINE),
]
"""For a fixture's `params`: an image has the name of the fixture that makes it."""


class Places:
    """The started runtime of each place that a test has asked for; they end with the stack.

    `home` is for the one on this machine: the files of whoever runs the tests take their time, or
    hang. With `everywhere` it is the containers' too.
    """

    def __init__(
        self, stack: AsyncExitStack, home: Path | str | None = None, *, everywhere: bool = False
    ) -> None:
        self._stack = stack
        self._env = None if home is None else {"HOME": str(home)}
        self._everywhere = everywhere
        self._runtimes: dict[str, EventStreamRuntime] = {}

    async def runtime(self, place: str, image: str | None) -> EventStreamRuntime:
        """The place's runtime; the first to ask starts it."""
        if place not in self._runtimes:
            backend = "local" if image is None else "docker"
            env = self._env if image is None or self._everywhere else None
            runtime = EventStreamRuntime(image, backend=backend, env=env)
            self._runtimes[place] = await self._stack.enter_async_context(runtime)
        return self._runtimes[place]

    async def asked_for(self, request: pytest.FixtureRequest) -> EventStreamRuntime:
        """The runtime of the place that a fixture has as its parameter."""
        place: str = request.param
        return await self.runtime(
            place, None if place == "local" else request.getfixturevalue(place)
        )
