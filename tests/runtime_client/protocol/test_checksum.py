"""The sum that both ends of a transfer compare."""

from __future__ import annotations

from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st

from tether_runtime_client.protocol.checksum import Checksum


@given(st.lists(st.binary(max_size=50), max_size=8))
def test_it_is_that_of_all_the_pieces_together(pieces: list[bytes]) -> None:
    checksum = Checksum()
    for piece in pieces:
        checksum.update(memoryview(piece))
    assert str(checksum) == f"{crc32(b''.join(pieces)):08x}"


def test_of_nothing() -> None:
    assert str(Checksum()) == "00000000"
