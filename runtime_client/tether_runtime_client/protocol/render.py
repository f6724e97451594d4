"""From the bytes a terminal got to the text an agent reads. Pure functions."""

import re

from .limits import CONTENT_LIMIT

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


def omission(missing: int) -> bytes:
    """The line that stands where the middle of an output was left out."""
    return b"\n[... %d bytes left out ...]\n" % missing


class HeadTail:
    """The first and last bytes of an output whose middle may be dropped: memory stays bounded."""

    __slots__ = ("_half", "_head", "_tail", "total")

    def __init__(self, limit: int = CONTENT_LIMIT) -> None:
        self._half = limit // 2
        self._head = bytearray()
        self._tail = bytearray()
        self.total = 0

    def write(self, data: bytes | memoryview) -> None:
        """Take the next bytes; only the first and last `limit / 2` are kept."""
        self.total += len(data)
        room = self._half - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if len(data) >= self._half:
            self._tail[:] = data[-self._half :]
        elif data:
            self._tail += data
            if len(self._tail) > 2 * self._half:
                del self._tail[: -self._half]

    @property
    def truncated(self) -> bool:
        """Whether bytes were dropped."""
        return self.total > len(self._head) + min(len(self._tail), self._half)

    def kept(self) -> bytes:
        """What was kept, with a line that says how much is missing where some is."""
        tail = bytes(self._tail[-self._half :])
        missing = self.total - len(self._head) - len(tail)
        middle = omission(missing) if missing > 0 else b""
        return bytes(self._head) + middle + tail
