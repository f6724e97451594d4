"""From the bytes a terminal got to the text an agent reads. Pure functions."""

import re
from collections import deque

from .limits import CONTENT_LIMIT

_SMALL = 4096

# ECMA-48: CSI; OSC up to BEL or ST, on one line; DCS, SOS, PM and APC up to ST; then the short
# escapes, the openers of strings that never end among them: their text is not swallowed.
_CONTROL_SEQUENCE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)"
    r"|\x1b[PX^_][^\x1b]*\x1b\\"
    r"|\x1b[ -/]+[0-~]"
    r"|\x1b[0-Z\\-~]"
)


def render(log: bytes, *, ansi: bool = False) -> str:
    """`log` decoded with replacement; unless `ansi`, without control sequences and folded.

    Folding keeps of a line that carriage returns rewrote only its last state, as a progress bar
    looks when it is done. A carriage return before a newline is kept: it is part of the text.
    """
    text = log.decode("utf-8", "replace")
    if ansi:
        return text
    if "\x1b" in text:
        text = _CONTROL_SEQUENCE.sub("", text)
    return _fold(text) if "\r" in text else text


def _fold(text: str) -> str:
    return "\n".join(_last_state(line) if "\r" in line else line for line in text.split("\n"))


def _last_state(line: str) -> str:
    """What carriage returns left of a line; those at its end overwrite nothing."""
    return line[line.rstrip("\r").rfind("\r") + 1 :]


_BEGUN = re.compile(
    rb"[\xc2-\xf4]|[\xe0-\xf4][\x80-\xbf]|[\xf0-\xf4][\x80-\xbf]{2}"
    rb"|\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b\n]*|[ -/]*)"
)
_LONGEST_BEGUN = 256


def unfinished(log: bytes) -> bytes:
    """The end of `log`, if it begins a character or a control sequence and more may come."""
    end = log[-_LONGEST_BEGUN:]
    escape = end.rfind(b"\x1b")
    for start in (escape, *range(-3, 0)) if escape >= 0 else range(-3, 0):
        if _BEGUN.fullmatch(end[start:]):
            return end[start:]
    return b""


def omission(missing: int) -> bytes:
    """The line that stands where the middle of an output was left out."""
    return b"\n[... %d bytes left out ...]\n" % missing


class HeadTail:
    """The first and last bytes of an output whose middle may be dropped: memory stays bounded.

    What is written is kept by reference, not copied, until it is dropped or asked for.
    """

    __slots__ = ("_half", "_head", "_tail", "_tail_size", "total")

    def __init__(self, limit: int = CONTENT_LIMIT) -> None:
        self._half = limit // 2
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self.total = 0

    def write(self, data: bytes | memoryview) -> None:
        """Take the next bytes; only the first and last `limit / 2` are kept."""
        data = bytes(data)
        self.total += len(data)
        room = self._half - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if data:
            self._keep(data)

    @property
    def truncated(self) -> bool:
        """Whether bytes were dropped."""
        return self.total > len(self._head) + min(self._tail_size, self._half)

    def tail(self) -> bytes:
        """The last of it, without a hole."""
        return (b"" if self._tail_size else bytes(self._head)) + b"".join(self._tail)

    def kept(self) -> bytes:
        """What was kept, with a line that says how much is missing where some is."""
        tail = b"".join(self._tail)[-self._half :]
        missing = self.total - len(self._head) - len(tail)
        middle = omission(missing) if missing > 0 else b""
        return bytes(self._head) + middle + tail

    def _keep(self, data: bytes) -> None:
        tail = self._tail
        if tail and len(tail[-1]) + len(data) <= _SMALL:
            tail[-1] += data  # or a byte at a time would cost an object each
        else:
            tail.append(data)
        self._tail_size += len(data)
        while self._tail_size - len(tail[0]) >= self._half:
            self._tail_size -= len(tail.popleft())
