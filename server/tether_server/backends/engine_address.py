"""Where a container finds the engine's machine, in a network of the engine's."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import docker

_ADDRESS_OF = 0x8915  # SIOCGIFADDR
_ADDRESS_AT = slice(20, 24)  # in its `ifreq`
_BRIDGE = "com.docker.network.bridge.name"


def engine_address(engine: docker.DockerClient, network: str) -> str | None:
    """This machine's address there; None where there is none. The engine is on this machine.

    An engine that made its first bridge itself does not tell the gateway until it is started
    again. Raises `docker.errors.APIError`.
    """
    attrs = engine.networks.get(network).attrs
    for config in attrs["IPAM"]["Config"] or []:
        if gateway := config.get("Gateway"):
            return str(gateway)
    return _address_of(_bridge(attrs))


def _bridge(attrs: Mapping[str, Any]) -> str:
    options = attrs.get("Options") or {}
    return str(options.get(_BRIDGE) or f"br-{attrs['Id'][:12]}")


def _address_of(interface: str) -> str | None:
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            found = fcntl.ioctl(sock, _ADDRESS_OF, interface.encode()[:15].ljust(40, b"\0"))
        except OSError:  # there is no such interface here, or it has no address
            return None
    return str(ipaddress.IPv4Address(found[_ADDRESS_AT]))
