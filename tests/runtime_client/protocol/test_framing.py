"""Frames cut from a stream anywhere are the frames that went in, and the core's are the core's."""

from __future__ import annotations

import random

import pytest
from websockets.frames import Frame, Opcode

from tether_runtime_client.protocol.framing import CORE, FrameReader, data_frame

SIZES = (0, 1, 125, 126, 127, 300, 65535, 65536, 70000)


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("seed", range(30))
def test_frames_survive_any_cut(seed: int, masked: bool) -> None:
    chance = random.Random(seed)
    wire, expected = b"", []
    for _ in range(chance.randrange(1, 12)):
        for kind, payload, frame in _some_message(chance, masked):
            wire += frame
            expected.append((kind, frame if kind == CORE else payload))
    reader = FrameReader(masked=masked, limit=1 << 20)
    found = [item for piece in _pieces(chance, wire) for item in reader.feed(piece)]
    assert found == expected


@pytest.mark.parametrize(
    "data",
    [b"\xff", b"\x83\x80", b"\x81\x05hello", b"\xc1\x80", b"\x81\xff" + (2000).to_bytes(8, "big")],
    ids=["reserved", "opcode", "unmasked", "rsv", "too-long"],
)
def test_what_is_wrong_goes_to_the_core_as_it_came(data: bytes) -> None:
    reader = FrameReader(masked=True, limit=1000)
    good = data_frame(1, b"good", masked=True)
    assert list(reader.feed(good + data + b"x")) == [(1, b"good"), (CORE, data + b"x")]
    assert list(reader.feed(good)) == [(CORE, good)]


def _some_message(chance: random.Random, masked: bool) -> list[tuple[int, bytes, bytes]]:
    payload = chance.randbytes(chance.choice(SIZES))
    kind = chance.choice([1, 2, 1, 2, 9, 0])
    if kind == 9:
        return [(CORE, b"", Frame(Opcode.PING, payload[:100]).serialize(mask=masked))]
    if kind == 0:
        parts = [(Opcode.TEXT, False), (Opcode.CONT, False), (Opcode.CONT, True)]
        return [(CORE, b"", Frame(o, payload, fin).serialize(mask=masked)) for o, fin in parts]
    theirs = Frame(Opcode(kind), payload).serialize(mask=masked)
    return [(kind, payload, chance.choice([data_frame(kind, payload, masked=masked), theirs]))]


def _pieces(chance: random.Random, wire: bytes) -> list[bytes]:
    pieces = []
    while wire:
        size = chance.choice([1, 2, 3, 10, 100, 5000, 100_000])
        pieces.append(wire[:size])
        wire = wire[size:]
    return pieces
