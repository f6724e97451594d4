"""Fingerprints: one hash over named contents, independent of order and of time stamps."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256


def fingerprint(parts: Mapping[str, bytes | str]) -> str:
    """64 hexadecimal digits over names and contents; lengths keep neighbours apart."""
    total = sha256()
    for name in sorted(parts):
        content = parts[name]
        data = content.encode() if isinstance(content, str) else content
        total.update(f"{len(name)} {name} {len(data)} ".encode())
        total.update(data)
    return total.hexdigest()
