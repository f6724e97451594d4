"""Ports of the sandbox for the server's side, and ports of the server's side for the sandbox.

Neither action carries a byte of a connection. Each answers with a ticket for a *lease*: a bulk
connection that stands for the mapping, on which the sandbox hands out further tickets, one for each
connection through it. So a connection through a port costs no event.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from .action import Action

PortNumber = Annotated[int, Field(ge=1, le=65535)]
AnyPortNumber = Annotated[int, Field(ge=0, le=65535)]
SocketPath = Annotated[str, Field(min_length=2, max_length=4096, pattern=r"^/[^\x00]*$")]
AddressText = Annotated[str, Field(min_length=2, max_length=64, pattern=r"^[0-9A-Fa-f.:]+$")]
OwnerId = Annotated[str, Field(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]


class PortForwardAction(Action):
    """Connect to a port inside, or to a UNIX socket, whenever asked to → `PortReadyObservation`.

    A port is looked for on the sandbox's loopback, by IPv4 and then by IPv6.
    """

    action: Literal["port_forward"] = "port_forward"
    port: PortNumber | None = None
    path: SocketPath | None = None

    @model_validator(mode="after")
    def _one_of_port_and_path(self) -> Self:
        _check(self.port, self.path)
        return self


class PortReverseAction(Action):
    """Listen inside, and pass on whoever connects there → `PortReadyObservation`.

    With port 0 the sandbox chooses. It listens as long as the lease lasts, and half a minute
    longer: who asks with the same `owner` again goes on with it, and nobody else does.
    """

    action: Literal["port_reverse"] = "port_reverse"
    owner: OwnerId
    port: AnyPortNumber | None = None
    bind: AddressText = "127.0.0.1"
    path: SocketPath | None = None

    @model_validator(mode="after")
    def _one_of_port_and_path(self) -> Self:
        _check(self.port, self.path)
        return self


def _check(port: int | None, path: str | None) -> None:
    if (port is None) == (path is None):
        raise ValueError("give exactly one of port and path")
