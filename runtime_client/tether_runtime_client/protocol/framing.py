"""Whole messages of a websocket, read and written without the machinery they do not need.

The core (`websockets`) parses everything RFC 6455 allows. Nearly all that passes here is whole,
unfragmented messages, and for those it costs about 20 µs at each end. This module cuts the stream
into frames, hands those messages out, and leaves every other frame to the core, as it came.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

try:
    from websockets.speedups import apply_mask
except ImportError:  # the same, slower, where there is no compiled module
    from websockets.utils import apply_mask

CORE: Final = 0
"""Bytes for the core: a frame it must see, or what it must refuse."""

TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8

_FIN = 0x80
_MASKED = 0x80
_CONTROL = (8, 9, 10)
_KNOWN = {opcode | fin for opcode in (0, TEXT, BINARY) for fin in (0, _FIN)}
_KNOWN |= {opcode | _FIN for opcode in _CONTROL}
_WHOLE = {_FIN | TEXT: TEXT, _FIN | BINARY: BINARY}


class FrameReader:
    """Cuts what arrives into frames. `masked`: the peer is the websocket's client, and masks."""

    def __init__(self, *, masked: bool, limit: int) -> None:
        self._masked = masked
        self._chunks: list[bytes] = []
        self._have = 0
        self._need = 0
        self._in_parts = False
        self._refused = False
        self.limit = limit
        """The longest payload to take; a longer frame is left to the core, which refuses it."""

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Take the next bytes; yields (`TEXT` or `BINARY`, payload) and (`CORE`, bytes)."""
        self._chunks.append(data)
        self._have += len(data)
        if self._have < self._need:
            return
        data = b"".join(self._chunks) if len(self._chunks) > 1 else data
        at = 0
        while (end := self._end(data, at)) <= len(data):
            yield self._frame(data, at, end)
            at = end
        self._keep(data[at:] if at else data, end - at)

    def take_rest(self) -> bytes | None:
        """What has come of a message that is not whole, for another reader; None where the core
        is amid one. This one begins anew.
        """
        if self._refused or self._in_parts:
            return None
        rest = b"".join(self._chunks)
        self._keep(b"", 0)
        return rest

    def _keep(self, rest: bytes, need: int) -> None:
        self._chunks = [rest] if rest else []
        self._have, self._need = len(rest), need

    def _end(self, data: bytes, at: int) -> int:
        """Where the frame at `at` ends, or the least that is needed to tell."""
        if self._refused:
            return max(len(data), at + 1)
        if len(data) < at + 2:
            return at + 2
        if data[at] not in _KNOWN or bool(data[at + 1] & _MASKED) is not self._masked:
            return self._refuse(data)
        length, begin = data[at + 1] & 0x7F, at + 2
        if length >= 126:
            begin += 2 if length == 126 else 8
            if len(data) < begin:
                return begin
            length = int.from_bytes(data[at + 2 : begin], "big")
        begin += 4 * self._masked
        return begin + length if length <= self.limit else self._refuse(data)

    def _refuse(self, data: bytes) -> int:
        """The core says what is wrong, so it gets everything from here on."""
        self._refused = True
        return len(data)

    def _frame(self, data: bytes, at: int, end: int) -> tuple[int, bytes]:
        first = data[at]
        kind = CORE if self._refused or self._in_parts else _WHOLE.get(first, CORE)
        if kind == CORE:
            if not self._refused and first & 0x0F <= BINARY:
                self._in_parts = not first & _FIN
            return CORE, data[at:end]
        short = data[at + 1] & 0x7F
        begin = at + 2 + (8 if short == 127 else 2 if short == 126 else 0)
        if self._masked:
            return kind, apply_mask(data[begin + 4 : end], data[begin : begin + 4])
        return kind, data[begin:end]


def data_frame(kind: int, payload: bytes | memoryview, *, masked: bool) -> bytes:
    """A whole message as one frame."""
    if not masked:
        return b"".join((frame_header(kind, len(payload)), payload))
    mask = os.urandom(4)
    return b"".join((frame_header(kind, len(payload), mask), apply_mask(payload, mask)))


def frame_header(kind: int, length: int, mask: bytes = b"") -> bytes:
    """What stands before the payload of a whole message; a `mask` of four bytes is its end."""
    mask_bit = _MASKED if mask else 0
    if length < 126:
        return bytes((_FIN | kind, mask_bit | length)) + mask
    if length < 65536:
        return bytes((_FIN | kind, mask_bit | 126)) + length.to_bytes(2, "big") + mask
    return bytes((_FIN | kind, mask_bit | 127)) + length.to_bytes(8, "big") + mask


def unmasked(payload: bytes | memoryview, key: bytes) -> bytes | memoryview:
    """A payload, or a piece of one that begins where the key does; without a key as it is."""
    return apply_mask(payload, key) if key else payload
