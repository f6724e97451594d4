"""A whole runtime, on each backend that has to behave the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tether_server import EventStreamRuntime

MakeRuntime = Callable[..., EventStreamRuntime]


@pytest.fixture(params=["local", pytest.param("docker", marks=pytest.mark.engine)])
def make_runtime(request: pytest.FixtureRequest) -> MakeRuntime:
    """Makes runtimes of one backend; enter what it returns."""
    backend: str = request.param
    image = request.getfixturevalue("debian") if backend == "docker" else None

    def make(**options: Any) -> EventStreamRuntime:
        return EventStreamRuntime(image, backend=backend, **options)

    return make
