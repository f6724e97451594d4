"""What images and engines run on, as the engine writes it: `linux/amd64`."""

from __future__ import annotations

import re

_MACHINES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "armhf": "arm"}
_SYSTEMS = {"linux", "windows", "darwin", "macos", "freebsd"}  # a machine is what is asked for
_PLATFORM = re.compile(r"(?:([a-z0-9]+)/)?([a-z0-9_-]+)(?:/v[0-9]+)?")


def normal_platform(text: str) -> str:
    """`linux/amd64` for `linux/amd64`, `amd64` and `x86_64`; a variant (`/v8`) is left out.

    Raises:
        ValueError: it is nothing of that kind.
    """
    found = _PLATFORM.fullmatch(text.strip().lower())
    if not found or found[2] in _SYSTEMS:
        raise ValueError(f"{text!r} is no platform; one is linux/amd64")
    return f"{found[1] or 'linux'}/{_MACHINES.get(found[2], found[2])}"
