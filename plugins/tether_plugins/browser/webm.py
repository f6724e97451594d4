"""A WebM file of one picture track, written as it comes: whatever ends it, it can be played."""

from __future__ import annotations

import struct
from io import RawIOBase

_CLUSTER_MS = 30_000
"""A block's time counts from its cluster's, in 16 bits with a sign."""

_UNKNOWN = b"\x01\xff\xff\xff\xff\xff\xff\xff"
"""The size of what is still written."""


def _element(name: str, *parts: bytes) -> bytes:
    data = b"".join(parts)
    return bytes.fromhex(name) + (len(data) | 1 << 56).to_bytes(8) + data


def _number(name: str, value: int) -> bytes:
    return _element(name, value.to_bytes(8))


def _void(size: int) -> bytes:
    """Room for something of that size."""
    return _element("ec", bytes(size - 9))


def _duration(milliseconds: float) -> bytes:
    return _element("4489", struct.pack(">d", milliseconds))


def _index_at(position: int) -> bytes:
    """Where the cues are, from the segment's beginning."""
    cues = _element("53ab", bytes.fromhex("1c53bb6b"))
    return _element("114d9b74", _element("4dbb", cues, _number("53ac", position)))


class Webm:
    """Matroska as WebM restricts it (RFC 9559). Times are milliseconds since the beginning.

    The file is one that can be written anywhere; its owner closes it.
    """

    def __init__(self, file: RawIOBase, width: int, height: int, codec: str = "V_VP8") -> None:
        self._file = file
        self._cues: list[bytes] = []
        self._cluster: int | None = None
        kind = _element("4282", b"webm"), _number("4287", 2), _number("4285", 2)
        file.write(_element("1a45dfa3", _number("4286", 1), _number("42f7", 1), *kind))
        file.write(bytes.fromhex("18538067") + _UNKNOWN)
        self._begin = file.tell()
        file.write(_void(len(_index_at(0))))
        made_by = _element("4d80", b"Tether"), _element("5741", b"Tether")
        room = _void(len(_duration(0)))
        file.write(_element("1549a966", _number("2ad7b1", 1_000_000), *made_by, room))
        self._duration_at = file.tell() - len(room)
        size = _element("e0", _number("b0", width), _number("ba", height))
        named = _number("d7", 1), _number("73c5", 1), _number("83", 1)
        coded = _element("86", codec.encode())
        file.write(_element("1654ae6b", _element("ae", *named, coded, size)))

    def needs_key(self, time: int) -> bool:
        """Whether a picture of that time has to stand for itself."""
        return self._cluster is None or time - self._cluster >= _CLUSTER_MS

    def add(self, data: bytes, time: int, *, key: bool) -> None:
        """One picture. Times do not go back."""
        if key or self._cluster is None:
            at = self._file.tell() - self._begin
            where = _element("b7", _number("f7", 1), _number("f1", at))
            self._cues.append(_element("bb", _number("b3", time), where))
            self._file.write(bytes.fromhex("1f43b675") + _UNKNOWN + _number("e7", time))
            self._cluster = time
        flags = 0x80 if key else 0
        self._file.write(
            _element("a3", b"\x81", struct.pack(">hB", time - self._cluster, flags), data)
        )

    def end(self, time: int) -> None:
        """What makes it possible to jump in it: how long it is, and where its key pictures are."""
        position = self._file.tell() - self._begin
        self._file.write(_element("1c53bb6b", *self._cues))
        self._file.seek(self._begin)
        self._file.write(_index_at(position))
        self._file.seek(self._duration_at)
        self._file.write(_duration(time))
        self._file.seek(0, 2)
