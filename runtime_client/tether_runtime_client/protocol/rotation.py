"""How both ends come to another secret that neither of them sends. No I/O, no clock.

    server  rotate PUBLIC             one half of an agreement, made for this once
    client  rotating PUBLIC PROOF     the other half; from now on it accepts both secrets
    server  confirm PROOF             once it has stored the new one
    client  rotated                   it accepts the new one alone

The new secret is an HMAC-SHA256 under the present one of what Diffie and Hellman's agreement gives
(the group ffdhe2048 of RFC 7919). So who knows the present secret and listens does not learn the
new one, and who comes between both ends without the present one learns nothing either. Whoever is
killed at whichever moment finds the other end taking the secret that he has.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Protocol

from .errors import Unauthorized

_PRIME = int(
    "ffffffffffffffffadf85458a2bb4a9aafdc5620273d3cf1d8b9c583ce2d3695a9e13641146433fbcc939dce249b3e"
    "f97d2fe363630c75d8f681b202aec4617ad3df1ed5d5fd65612433f51f5f066ed0856365553ded1af3b557135e7f57"
    "c935984f0c70e0e68b77e2a689daf3efe8721df158a136ade73530acca4f483a797abc0ab182b324fb61d108a94bb2"
    "c8e3fbb96adab760d7f4681d4f42a3de394df4ae56ede76372bb190b07a7c8ee0a6d709e02fce1cdf7e2ecc03404cd"
    "28342f619172fe9ce98583ff8e4f1232eef28183c3fe3b1b4c6fad733bb5fcbc2ec22005c58ef1837d1683b2c6f34a"
    "26c1b2effa886b423861285c97ffffffffffffffff",
    16,
)
_GENERATOR = 2
_PRIVATE_BITS = 256


class Secrets(Protocol):
    """What a client accepts: one secret, and a second until that has been proven to it once."""

    @property
    def current(self) -> str:
        """The one that it proves itself by."""

    @property
    def next(self) -> str | None:
        """The one that is to follow it."""


class Half:
    """One end's half of an agreement: `public` is sent, the rest never leaves this object."""

    def __init__(self) -> None:
        self._private = secrets.randbits(_PRIVATE_BITS) | 1 << (_PRIVATE_BITS - 1)
        self.public = f"{pow(_GENERATOR, self._private, _PRIME):0512x}"

    def for_server(self, secret: str, theirs: str) -> Agreed:
        """What comes of it for the end that asked; raises `Unauthorized`."""
        return _agreed(secret, self.public, theirs, self._shared(theirs))

    def for_client(self, secret: str, theirs: str) -> Agreed:
        """What comes of it for the end that was asked; raises `Unauthorized`."""
        return _agreed(secret, theirs, self.public, self._shared(theirs))

    def _shared(self, theirs: str) -> int:
        number = int(theirs, 16)
        if not 1 < number < _PRIME - 1:
            raise Unauthorized("the other half of the agreement makes the new secret a known one")
        return pow(number, self._private, _PRIME)


@dataclass(frozen=True, slots=True)
class Agreed:
    """The new secret, and how each end shows the other that it has come to the same one."""

    secret: str
    client_proof: str
    server_proof: str


def _agreed(secret: str, server: str, client: str, shared: int) -> Agreed:
    told = f"{server} {client}"
    new = _hmac(secret, f"tether next secret {told} {shared:0512x}")
    return Agreed(new, _hmac(new, f"tether rotating {told}"), _hmac(new, f"tether confirm {told}"))


def _hmac(key: str, text: str) -> str:
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()
