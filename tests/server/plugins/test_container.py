"""A stranger's plugin in a container of an image without a Python of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import docker
import docker.errors
import pytest

from tether_runtime_client.protocol.errors import PluginInvalid
from tether_server import EventStreamRuntime

from . import tides

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

PORT = 8124
"""Its own loopback has it; so the wheel is the same each time."""


@pytest.fixture
def wheel(site: Path) -> Path:
    """Installed here too, for its classes."""
    tides.install(site, port=PORT)
    return tides.pack(site)


@pytest.fixture
def no_images_left(engine: str) -> Iterator[None]:
    """Those with the plugin go with the test."""
    yield
    client = docker.from_env()
    try:
        found = client.images.list(all=True, filters={"label": "tether.plugin.tides"})
        tags = [tag for image in found for tag in image.tags]
        for tag in sorted(tags, key=lambda tag: "_tether" not in tag):
            client.images.remove(tag, noprune=False)
    finally:
        client.close()


@pytest.mark.slow
@pytest.mark.usefixtures("no_images_left")
async def test_a_plugin_of_a_package_in_any_image(busybox: str, wheel: Path) -> None:
    plugins = {"tides": {"harbour": "Dover", "key": b"\xff"}}
    runtime = EventStreamRuntime(
        busybox, plugins=plugins, plugin_packages=[str(wheel)], network="none", keep=True
    )
    async with runtime:
        own = import_module("some_tides.messages")
        [info] = await runtime.plugins()
        assert (info.name, info.version, info.state) == ("tides", "1.2", "idle")
        answer = await runtime.run(own.LookAction(salt=b"\xfe"))
        assert answer.harbour == "Dover"
        assert answer.levels == (own.Level(height=1.5, mark=b"\xfe\xff"),)
        forward = await runtime.forward("tides.map")
        reader, writer = await asyncio.open_connection("127.0.0.1", forward.port)
        assert await reader.read() == b"high water"
        writer.close()
    async with EventStreamRuntime.attach(runtime.name) as again:
        try:
            assert again._spec.plugins["tides"]["harbour"] == "Dover"
            assert (await again.run(own.LookAction(days=0))).harbour == "Dover"
            told = [type(event) for event in again.events.since()]
            assert told.count(own.Wave) == 1
            assert told.count(own.LookObservation) == 2
        finally:
            await again.close(keep=False)


async def test_what_cannot_be_built_is_refused_before_anything_starts(
    busybox: str, site: Path
) -> None:
    with pytest.raises(PluginInvalid, match="no-such"):
        async with EventStreamRuntime(busybox, plugin_packages=["./no-such-folder"]):
            pass
