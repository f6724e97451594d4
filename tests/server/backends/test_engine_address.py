"""Where a container finds this machine, also by an engine that does not tell."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import docker
import pytest

from tether_server.backends.engine_address import engine_address


def saying(attrs: dict[str, Any]) -> Any:
    """An engine that says this of its network."""
    return SimpleNamespace(networks=SimpleNamespace(get=lambda _: SimpleNamespace(attrs=attrs)))


def network(*configs: dict[str, str], name: str | None = None) -> dict[str, Any]:
    options = {"com.docker.network.bridge.name": name} if name else None
    return {"Id": "0" * 64, "IPAM": {"Config": list(configs) or None}, "Options": options}


def test_what_the_engine_says() -> None:
    told = network({"Subnet": "10.9.0.0/24"}, {"Gateway": "10.9.0.7"}, name="lo")
    assert engine_address(saying(told), "bridge") == "10.9.0.7"


def test_else_the_address_that_the_bridge_has() -> None:
    assert engine_address(saying(network({"Subnet": "127.0.0.0/8"}, name="lo")), "x") == "127.0.0.1"


def test_a_network_without_a_bridge() -> None:
    assert engine_address(saying(network()), "none") is None
    assert engine_address(saying(network(name="no-such-bridge-of-this-name")), "x") is None


@pytest.mark.engine
def test_a_container_s_own_routes_agree(engine: str, busybox: str) -> None:
    client = docker.from_env(version="auto")
    try:
        address = engine_address(client, "bridge")
        seen = client.containers.run(busybox, ["ip", "route"], remove=True).decode()
    finally:
        client.close()
    assert f"default via {address} " in seen
