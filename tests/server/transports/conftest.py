"""Runtimes over each transport."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import docker
import pytest

from tether_server import EventStreamRuntime

TRANSPORTS = ["unix", "netns", "tcp", "exec", "dial"]
StartBy = Callable[..., EventStreamRuntime]


@pytest.fixture
def start_by(debian: str) -> StartBy:
    """Makes a runtime over a transport; enter what it returns."""

    def make(name: str, **options: Any) -> EventStreamRuntime:
        return EventStreamRuntime(debian, transport=name, **options)

    return make


@pytest.fixture
def bridge(engine: str) -> str:
    """This machine's address in the engine's default network."""
    client = docker.from_env(version="auto")
    try:
        return str(client.networks.get("bridge").attrs["IPAM"]["Config"][0]["Gateway"])
    finally:
        client.close()
