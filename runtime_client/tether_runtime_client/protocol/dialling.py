"""What is said on a connection that the sandbox opened, before it is used like any other. No I/O.

    server  tether-dial 1 NONCE       who listens, and a fresh random value
    client  ID NONCE PROOF            which sandbox it is, and that it knows the secret
    server  PROOF                     that the server knows it too: the connection is on offer
    server  go                        it is taken: the websocket begins, opened by the server

Lines end with a line feed. An idle connection waits between the third line and the fourth, for as
long as it takes.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass

from . import auth
from .errors import MalformedFrame, Unauthorized

MAX_LINE = 256
GO = b"go\n"
_HELLO = re.compile(rb"tether-dial 1 ([0-9a-f]{32})\n")
_ANSWER = re.compile(rb"([0-9a-f]{32}) ([0-9a-f]{32}) ([0-9a-f]{64})\n")
_PROOF = re.compile(rb"([0-9a-f]{64})\n")


def sandbox_id(secret: str) -> str:
    """What a listener knows a sandbox by; it tells nothing of the secret."""
    return hmac.new(secret.encode(), b"tether dial id", hashlib.sha256).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Answer:
    """A client's line."""

    sandbox: str
    nonce: str
    proof: str


def hello(nonce: str) -> bytes:
    """The listener's first line."""
    return f"tether-dial 1 {nonce}\n".encode()


def answer(line: bytes, secret: str, nonce: str) -> tuple[bytes, bytes]:
    """The client's line for a listener's hello, and the line that has to come back.

    Raises `MalformedFrame` for what is no hello.
    """
    found = _HELLO.fullmatch(line)
    if not found:
        raise MalformedFrame("what was dialled is no Tether server")
    theirs = found[1].decode()
    proof = auth.dialler_proof(secret, theirs, nonce)
    expected = auth.listener_proof(secret, theirs, nonce)
    return f"{sandbox_id(secret)} {nonce} {proof}\n".encode(), f"{expected}\n".encode()


def read_answer(line: bytes) -> Answer:
    """A client's line; raises `MalformedFrame`."""
    found = _ANSWER.fullmatch(line)
    if not found:
        raise MalformedFrame("what dials is no Tether client")
    return Answer(*(part.decode() for part in found.groups()))


def confirm(given: Answer, secret: str, nonce: str) -> bytes:
    """The listener's second line for a client that knows the secret; raises `Unauthorized`."""
    if not auth.matches(given.proof, auth.dialler_proof(secret, nonce, given.nonce)):
        raise Unauthorized("what dials does not know the sandbox's secret")
    return f"{auth.listener_proof(secret, nonce, given.nonce)}\n".encode()


def check_listener(line: bytes, expected: bytes) -> None:
    """Whether the listener knows the secret; raises `Unauthorized`."""
    if not _PROOF.fullmatch(line) or not hmac.compare_digest(line, expected):
        raise Unauthorized("what was dialled does not know the sandbox's secret")
