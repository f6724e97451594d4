"""Who may connect to a forwarded port that other machines reach.

TLS is for its context to judge. A token is asked of the first HTTP request on each connection: in
`Authorization: Bearer`, `X-Tether-Token`, the query's `tether_token`, or, for what is no HTTP
behind it, in `Proxy-Authorization` of a CONNECT request, whose tunnel is the connection then. It is
taken out of that request: the sandbox has no use for it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import re
import socket
from dataclasses import dataclass
from urllib.parse import unquote

from tether_runtime_client.protocol.joint import Joints
from tether_runtime_client.protocol.tls import secured

from .options import Protection

MAX_HEAD = 32 * 1024
"""The longest head of a request in which a token is looked for."""

_END = b"\r\n\r\n"
_METHOD = re.compile(rb"[A-Z]{1,16} ")
_QUERY = re.compile(rb"([?&])tether_token=([^&\s#]*)(&?)")
_HEADERS = frozenset((b"authorization", b"x-tether-token", b"proxy-authorization"))
_WHY = b"this forwarded port wants its token on each connection\n"
_DENIED = (
    b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nContent-Type: text/plain\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(_WHY), _WHY)
)
_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Admitted:
    """A connection, what was read of it, and what lies under it where it is by TLS."""

    connection: socket.socket
    first: bytes = b""
    below: socket.socket | None = None

    def on_broken(self) -> None:
        """End it without TLS's word for an end, so that it is seen to be broken."""
        if self.below is not None and self.below.fileno() >= 0:
            try:
                self.below.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # it was cut already


class Guard:
    """Lets in who has what is asked for. What it holds for TLS goes with `close`."""

    def __init__(self, protection: Protection) -> None:
        self._protection = protection
        self._joints = Joints()

    async def admit(self, connection: socket.socket) -> Admitted:
        """Raises `OSError` for whoever may not; the caller closes `connection` then."""
        plain, below = connection, None
        if self._protection.tls is not None:
            below = connection
            plain = await secured(connection, self._protection.tls, self._joints)
        if self._protection.token is None:
            return Admitted(plain, below=below)
        try:
            first = await _checked(plain, self._protection.token.encode())
        except BaseException:
            plain.close()
            raise
        return Admitted(plain, first, below)

    async def close(self) -> None:
        """Drop what is by TLS. Twice is safe."""
        await self._joints.close()


async def _checked(connection: socket.socket, token: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    head, rest = await _head(connection)
    stripped = _without_token(head, token)
    if stripped is None:
        await loop.sock_sendall(connection, _DENIED)
        raise ConnectionRefusedError("who connected has not shown the token")
    if head.startswith(b"CONNECT "):
        await loop.sock_sendall(connection, _ESTABLISHED)
        return rest
    return stripped + _END + rest


async def _head(connection: socket.socket) -> tuple[bytes, bytes]:
    """The head of the first request, and what has come behind it."""
    loop, data = asyncio.get_running_loop(), b""
    while _END not in data:
        more = await loop.sock_recv(connection, MAX_HEAD)
        data += more
        if not more or len(data) > MAX_HEAD or not _could_be_http(data):
            if data:
                await loop.sock_sendall(connection, _DENIED)
            raise ConnectionRefusedError("who connected has not shown the token")
    head, _, rest = data.partition(_END)
    return head, rest


def _could_be_http(data: bytes) -> bool:
    return bool(_METHOD.match(data)) or (len(data) < 17 and data.isalpha() and data.isupper())


def _without_token(head: bytes, token: bytes) -> bytes | None:
    """The head without whatever shows the token; None when nothing does."""
    request, *lines = head.split(b"\r\n")
    found, kept = False, []
    for line in lines:
        if _shows(line, token):
            found = True
        else:
            kept.append(line)
    match = _QUERY.search(request)
    if match is not None and _same(unquote(match[2].decode("latin-1")).encode(), token):
        found = True
        joint = match[1] if match[3] else b""
        request = request[: match.start()] + joint + request[match.end() :]
    return b"\r\n".join([request, *kept]) if found else None


def _shows(line: bytes, token: bytes) -> bool:
    name, _, value = line.partition(b":")
    name, value = name.strip().lower(), value.strip()
    if name not in _HEADERS:
        return False
    if name == b"x-tether-token":
        return _same(value, token)
    scheme, _, credentials = value.partition(b" ")
    scheme, credentials = scheme.lower(), credentials.strip()
    if name == b"proxy-authorization" and scheme == b"basic":
        try:
            credentials = base64.b64decode(credentials, validate=True).partition(b":")[2]
        except binascii.Error:
            return False
        return _same(credentials, token)
    return scheme == b"bearer" and _same(credentials, token)


def _same(one: bytes, other: bytes) -> bool:
    return hmac.compare_digest(one, other)
