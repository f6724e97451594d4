"""What can be said of a transport, for those that a name alone does not say enough of."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from tether_runtime_client.protocol.message import Message

from .identity import Identity
from .tcp import Address


def split_address(text: str) -> Address:
    """`HOST:PORT` as host and port; raises `ValueError`."""
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError(f"{text!r} is no address: HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)


def join_address(host: str, port: int) -> str:
    """The other way round."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _address(text: str) -> str:
    split_address(text)
    return text


def _proxy(text: str) -> str:
    url = urlsplit(text)
    if url.scheme != "http" or not url.hostname or url.path not in ("", "/"):
        raise ValueError(f"{text!r} is no proxy: http://[USER:PASSWORD@]HOST:PORT")
    return text


def split_ssh_host(text: str) -> tuple[str | None, str, int | None]:
    """[USER@]HOST[:PORT] as user, host and port; raises `ValueError`."""
    url = urlsplit(f"ssh://{text}")
    if not url.hostname or url.path or url.query or url.password is not None:
        raise ValueError(f"{text!r} is no SSH server: [USER@]HOST[:PORT]")
    return url.username, url.hostname, url.port


def _ssh_host(text: str) -> str:
    split_ssh_host(text)
    return text


class Dial(Message):
    """The client connects out to this server, which listens: for places with no way in.

    `address` is where the sandbox finds this server, HOST:PORT, and `listen` where that is on this
    machine if it is another one (behind a proxy, say). Without either it is the engine's own end of
    the container's network, on any free port. `proxy` is an HTTP proxy that the sandbox goes
    through by CONNECT; who runs in the sandbox can read it. With `tls` an authority is made for
    the sandbox, and the client goes to no server but that authority's; `identity` is that.
    """

    name: Literal["dial"] = "dial"
    address: Annotated[str, AfterValidator(_address)] | None = None
    listen: Annotated[str, AfterValidator(_address)] | None = None
    proxy: Annotated[str, AfterValidator(_proxy)] | None = None
    tls: bool = False
    identity: Identity | None = Field(default=None, repr=False)


class Tcp(Message):
    """A port that the engine publishes. With `tls` an authority is made for the sandbox, and the
    client shows its certificate; `identity` is that.
    """

    name: Literal["tcp"] = "tcp"
    tls: bool = False
    identity: Identity | None = Field(default=None, repr=False)


class Ssh(Message):
    """Through an SSH server on the engine's machine, to the port that the engine publishes there.

    `host` is [USER@]HOST[:PORT], as in an engine's address; without it that is taken from
    DOCKER_HOST. The server's key has to be in `known_hosts`, a file (~/.ssh/known_hosts). `key` is
    a private key's file; without it the agent's and those in ~/.ssh are tried. What ~/.ssh/config
    says of the host holds.
    """

    name: Literal["ssh"] = "ssh"
    host: Annotated[str, AfterValidator(_ssh_host)] | None = None
    known_hosts: str | None = None
    key: str | None = None


TransportSettings = Dial | Ssh | Tcp | str
"""What the option `transport` takes: settings, or a name alone."""


def name_of(transport: TransportSettings) -> str:
    """The transport's name."""
    return transport if isinstance(transport, str) else transport.name
