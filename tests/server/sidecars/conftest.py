"""Sandboxes with a sidecar, and what the engine has of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import docker
import docker.errors
import pytest
from docker.models.containers import Container

from tether_server import EventStreamRuntime
from tether_server.sidecars.plan import OF_LABEL, sidecar_name

from .beside import PROGRAM, Beside, plan_of


class Engine:
    """What there is of a sandbox's sidecar."""

    def __init__(self, client: docker.DockerClient) -> None:
        self.client = client

    def sidecar(self, runtime: EventStreamRuntime) -> Container:
        return self.client.containers.get(sidecar_name(runtime.name, "box"))

    def left(self, name: str) -> list[str]:
        """The containers of that sandbox, and of its sidecars."""
        labels = (f"tether.sandbox={name}", f"{OF_LABEL}={name}")
        return [
            str(found.name)
            for label in labels
            for found in self.client.containers.list(all=True, filters={"label": label})
        ]

    def wait_gone(self, container: Container) -> None:
        with contextlib.suppress(docker.errors.NotFound):
            self.client.api.wait(container.id, timeout=20, condition="removed")


@pytest.fixture
def containers() -> Iterator[Engine]:
    client = docker.from_env()
    yield Engine(client)
    client.close()


@pytest.fixture
def beside(busybox: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., EventStreamRuntime]:
    """Makes runtimes with a sidecar; enter what it returns."""

    def make(program: str = PROGRAM, resources: Any = None, **options: Any) -> EventStreamRuntime:
        plan = plan_of(busybox, program, **(resources or {}))
        monkeypatch.setattr("tether_server.backends.docker.planned", Beside(plan))
        return EventStreamRuntime(busybox, **options)

    return make
