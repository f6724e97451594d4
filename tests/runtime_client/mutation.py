"""Well-formed bytes made malformed, the same way for the same seed. Not collected by pytest."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

HOSTILE_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 2**53, 2**63, 2**64, 10**400, 1e308, -0.0, 0.5),
    *("", "\0", "x" * 5000, "\ud800", "../..", "é" * 50),
    *([], {}, [[]], {"type": "submit"}, ["hello"] * 50),
)


def mutated(data: bytes, chance: random.Random) -> bytes:
    """One to four changes of its bytes."""
    for _ in range(chance.randint(1, 4)):
        data = chance.choice(_BYTES)(data, chance)
    return data


def mutated_json(text: bytes, chance: random.Random) -> bytes:
    """One to three changes of its values, names and shape, and now and then of its bytes."""
    value = json.loads(text)
    for _ in range(chance.randint(1, 3)):
        value = _changed(value, chance)
    written = json.dumps(value).encode()
    return mutated(written, chance) if chance.random() < 0.3 else written


def _changed(value: Any, chance: random.Random) -> Any:
    """Somewhere in it, something else."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        name = chance.choice(list(value))
        match chance.randrange(5):
            case 0:
                return {k: v for k, v in value.items() if k != name}
            case 1:
                return {**value, chance.choice(["extra", "", name.upper()]): value[name]}
            case _:
                return {**value, name: _changed(value[name], chance)}
    return chance.choice(HOSTILE_VALUES)


def _flip(data: bytes, chance: random.Random) -> bytes:
    if not data:
        return b"\0"
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]


def _cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _leave_out(data: bytes, chance: random.Random) -> bytes:
    first, last = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    return data[:first] + data[last:]


def _repeat(data: bytes, chance: random.Random) -> bytes:
    first, last = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    return data[:last] + data[first:]


def _insert(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    return data[:at] + chance.randbytes(chance.choice([1, 2, 16, 300])) + data[at:]


_BYTES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(_flip, _flip, _cut, _leave_out, _repeat, _insert),
)
