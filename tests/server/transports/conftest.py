"""Runtimes over each transport."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tether_server import EventStreamRuntime

TRANSPORTS = ["unix", "netns", "tcp", "exec"]
StartBy = Callable[..., EventStreamRuntime]


@pytest.fixture
def start_by(debian: str) -> StartBy:
    """Makes a runtime over a transport; enter what it returns."""

    def make(name: str, **options: Any) -> EventStreamRuntime:
        return EventStreamRuntime(debian, transport=name, **options)

    return make
