"""The outputs of a cell as a notebook would show them, in bounded memory."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal

from tether_runtime_client.protocol.jupyter import (
    CellOutput,
    DisplayOutput,
    ErrorOutput,
    MimeBundle,
    ResultOutput,
    StreamOutput,
)
from tether_runtime_client.protocol.message import changed
from tether_runtime_client.protocol.render import omission

from . import limits

StreamName = Literal["stdout", "stderr"]
_PIECE = 16 * 1024
_SMALL = 4 * 1024


@dataclass(slots=True, eq=False)
class _Stream:
    name: StreamName
    head: bytearray = field(default_factory=bytearray)
    tail: deque[bytes] = field(default_factory=deque)
    missing: int = 0

    def output(self) -> StreamOutput:
        middle = omission(self.missing) if self.missing else b""
        text = b"".join((self.head, middle, *self.tail)).decode("utf-8", "replace")
        return StreamOutput(name=self.name, text=text, omitted_bytes=self.missing)


@dataclass(slots=True, eq=False)
class _Shown:
    shown: DisplayOutput | ResultOutput | ErrorOutput
    size: int

    def output(self) -> CellOutput:
        return self.shown


class KeptOutputs:
    """Streams in order, of each what fits; displays, which can be changed later.

    The first half of what is kept comes from the beginning, the other from the end.
    """

    def __init__(self) -> None:
        self._first: list[_Stream | _Shown] = []
        self._last: deque[_Stream | _Shown] = deque()
        self._head_room = limits.CONTENT // 2
        self._pieces: deque[tuple[_Stream, int]] = deque()
        self._tail_size = 0
        self.omitted = 0
        self.dropped = 0

    def write(self, name: StreamName, data: bytes) -> None:
        """Text of a stream, as UTF-8."""
        stream = self._newest()
        if not isinstance(stream, _Stream) or stream.name != name:
            stream = _Stream(name)
            self._append(stream)
        taken = data[: self._head_room] if not stream.tail and not stream.missing else b""
        stream.head += taken
        self._head_room -= len(taken)
        for start in range(len(taken), len(data), _PIECE):
            self._add_tail(stream, data[start : start + _PIECE])

    def show(self, shown: DisplayOutput | ResultOutput | ErrorOutput, size: int) -> int:
        """Something else than text; returns the room that became free for it."""
        return self._append(_Shown(shown, size))

    def size_of(self, display_id: str) -> int | None:
        """The room that displays of this name take; None where there is none."""
        sizes = [entry.size for entry in self._displays(display_id)]
        return sum(sizes) if sizes else None

    def update(self, display_id: str, data: MimeBundle, size: int) -> None:
        """Show that in place of what displays of this name showed."""
        for entry in self._displays(display_id):
            assert not isinstance(entry.shown, ErrorOutput)
            entry.shown, entry.size = changed(entry.shown, data=data), size

    def outputs(self) -> tuple[CellOutput, ...]:
        """All that is kept, in order."""
        return tuple(entry.output() for entry in chain(self._first, self._last))

    @property
    def truncated(self) -> bool:
        """Whether something is missing."""
        return bool(self.dropped or self.omitted)

    def _newest(self) -> _Stream | _Shown | None:
        if self._last:
            return self._last[-1]
        return self._first[-1] if self._first else None

    def _append(self, entry: _Stream | _Shown) -> int:
        if len(self._first) < limits.OUTPUTS // 2:
            self._first.append(entry)
            return 0
        self._last.append(entry)
        if len(self._last) <= limits.OUTPUTS // 2:
            return 0
        self.omitted += 1
        gone = self._last.popleft()
        return gone.size if isinstance(gone, _Shown) else 0

    def _add_tail(self, stream: _Stream, piece: bytes) -> None:
        if self._pieces and self._pieces[-1][0] is stream and len(stream.tail[-1]) < _SMALL:
            _, size = self._pieces.pop()
            stream.tail[-1] += piece  # or a byte at a time would cost an object each
            self._pieces.append((stream, size + len(piece)))
        else:
            stream.tail.append(piece)
            self._pieces.append((stream, len(piece)))
        self._tail_size += len(piece)
        while self._tail_size - self._pieces[0][1] >= limits.CONTENT // 2:
            oldest, size = self._pieces.popleft()
            oldest.tail.popleft()
            oldest.missing += size
            self.dropped += size
            self._tail_size -= size

    def _displays(self, display_id: str) -> list[_Shown]:
        return [
            entry
            for entry in chain(self._first, self._last)
            if isinstance(entry, _Shown)
            and not isinstance(entry.shown, ErrorOutput)
            and entry.shown.display_id == display_id
        ]
