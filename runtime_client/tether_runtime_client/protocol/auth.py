"""Mutual challenge and response: both ends show that they know the secret, and neither sends it."""

import hashlib
import hmac
import secrets


def new_secret() -> str:
    """A fresh secret for one sandbox: 64 hexadecimal digits."""
    return secrets.token_hex(32)


def new_nonce() -> str:
    """A value never used before: 32 hexadecimal digits."""
    return secrets.token_hex(16)


def client_proof(secret: str, server_nonce: str, client_nonce: str) -> str:
    """What the runtime client answers to a hello."""
    return _proof("client", secret, server_nonce, client_nonce)


def server_proof(secret: str, server_nonce: str, client_nonce: str) -> str:
    """What the server answers to a challenge; a role keeps each from passing as the other."""
    return _proof("server", secret, server_nonce, client_nonce)


def dialler_proof(secret: str, server_nonce: str, client_nonce: str) -> str:
    """What a runtime client that dials out shows of itself, before the connection is used."""
    return _proof("dialler", secret, server_nonce, client_nonce)


def listener_proof(secret: str, server_nonce: str, client_nonce: str) -> str:
    """What the server that was dialled answers."""
    return _proof("listener", secret, server_nonce, client_nonce)


def matches(given: str, expected: str) -> bool:
    """Compare two proofs in constant time."""
    return hmac.compare_digest(given.encode(), expected.encode())


def _proof(role: str, secret: str, server_nonce: str, client_nonce: str) -> str:
    text = f"tether {role} {server_nonce} {client_nonce}".encode()
    return hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()
