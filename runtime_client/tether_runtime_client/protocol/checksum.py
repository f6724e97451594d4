"""What both ends of a transfer compare at its end."""

from __future__ import annotations

import zlib


class Checksum:
    """CRC-32, as in zip and gzip: against what is lost, repeated, swapped or cut on the way.

    Not against people: who can change a transfer on its way can change any sum of it, too, and
    TLS and the sandbox's secret are there for that. A processor makes 4 GB of it a second, and
    1.5 GB of sha256 with its own instructions, which was half of a large file's way.
    """

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes | memoryview) -> None:
        """Add the next bytes."""
        self._value = zlib.crc32(data, self._value)

    def __str__(self) -> str:
        return f"{self._value:08x}"
