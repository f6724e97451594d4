"""How a port can be forwarded or reversed, as keyword arguments, and what they come to."""

from __future__ import annotations

import ipaddress
import secrets
import ssl
from dataclasses import dataclass
from typing import TypedDict

from tether_runtime_client.protocol.errors import InvalidAction, PortUnprotected, PortUnusable

LOOPBACK = "127.0.0.1"
_HIGHEST = 65535
_TOKEN_CHARACTERS = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/="
)


class ForwardOptions(TypedDict, total=False):
    """Where a forwarded port is to be had, and by whom.

    `port` is the port here, any free one when it is 0, and `bind` the address; or `path` is that
    of a UNIX socket, which only its owner can use. Where other machines reach the address, a
    `token` or `tls` is required. With `token=True` one is made. `tls` is the context of the end
    that listens: who may connect is for it to say, by the certificates it asks for.
    """

    port: int
    bind: str
    path: str | None
    token: str | bool | None
    tls: ssl.SSLContext | None


class ReverseOptions(TypedDict, total=False):
    """Where in the sandbox a port of here is to be had, and where here it leads.

    `port` is the port inside, the same number when None and any free one when it is 0; `bind` is
    the address inside. Or `path` is that of a UNIX socket inside. `host` is where the port of here
    is, this machine's loopback unless said otherwise.
    """

    port: int | None
    bind: str
    path: str | None
    host: str


@dataclass(frozen=True, slots=True)
class Place:
    """A port at an address, or a UNIX socket."""

    host: str
    port: int
    path: str | None = None

    def __str__(self) -> str:
        if self.path is not None:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether nobody outside this machine can reach it."""
        return self.path is not None or ipaddress.ip_address(self.host).is_loopback


@dataclass(frozen=True, slots=True)
class Protection:
    """What whoever connects has to have."""

    token: str | None = None
    tls: ssl.SSLContext | None = None

    def __str__(self) -> str:
        token = "token" if self.token is not None else ""
        return " and ".join(filter(None, (token, "TLS" if self.tls is not None else "")))

    def __bool__(self) -> bool:
        return self.token is not None or self.tls is not None


def place(bind: str, port: int, path: str | None) -> Place:
    """Where to listen; raises `PortUnusable` for what is no address, `InvalidAction` for both."""
    if path is not None:
        if port or bind != LOOPBACK:
            raise InvalidAction("a UNIX socket has no port", hint="Give path=, or port= and bind=")
        if not path.startswith("/") or "\0" in path:
            hint = "Give the absolute path of a UNIX socket"
            raise InvalidAction(f"{path!r:.200} is no absolute path", hint=hint)
        return Place("", 0, path)
    if not 0 <= port <= _HIGHEST:
        raise PortUnusable(f"there is no port {port}", hint="Ports are 1 to 65535, 0 for any")
    try:
        return Place(str(ipaddress.ip_address(LOOPBACK if bind == "localhost" else bind)), port)
    except ValueError:
        hint = "Give an address as numbers, such as 0.0.0.0 for all of them, or localhost"
        raise PortUnusable(f"{bind!r} is no address", hint=hint) from None


def protection(where: Place, token: str | bool | None, tls: ssl.SSLContext | None) -> Protection:
    """What is asked of whoever connects; raises `PortUnprotected` where that is too little."""
    found = Protection(_token(token), tls)
    if not found and not where.loopback:
        raise PortUnprotected(f"other machines reach {where}, and whatever is behind it")
    return found


def target(what: int | str) -> tuple[int | None, str | None]:
    """A port's number, or a UNIX socket's path; raises `InvalidAction`."""
    if isinstance(what, str):
        if what.isdecimal():
            return target(int(what))
        if what.startswith("/") and "\0" not in what:
            return None, what
    elif not isinstance(what, bool) and 0 < what <= _HIGHEST:
        return what, None
    hint = "Give a number from 1 to 65535, or the absolute path of a UNIX socket"
    raise InvalidAction(f"{what!r:.200} is no port", hint=hint)


def _token(token: str | bool | None) -> str | None:
    if token is True:
        return secrets.token_urlsafe(24)
    if token is None or token is False:
        return None
    if len(token) < 16 or not _TOKEN_CHARACTERS.issuperset(token):
        hint = "Use 16 letters, digits or any of -._~+/= at least, or have one made"
        raise InvalidAction(
            "the token is too short, or has characters that no header takes", hint=hint
        )
    return token
