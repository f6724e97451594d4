"""The client's end of a shell's pseudo-terminal, which the event loop reads."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import struct
import sys
import termios
from collections.abc import Callable, Iterator

from .errors import InputTooLong

READ_PER_WAKE = 256 * 1024  # bytes of output; then other sessions get their turn
LINE_LIMIT = 4095  # bytes a terminal in line mode takes in one line (N_TTY_BUF_SIZE - 1)
_BLOCK = 64 * 1024
_NO_MODE = bytes(64)  # room for the kernel's struct termios
_TIOCSIG = 0x40045436
_TIOCGPTN = 0x80045430
_PTS_MAJOR = 136
_KEYS = {
    termios.VINTR: signal.SIGINT,
    termios.VQUIT: signal.SIGQUIT,
    termios.VSUSP: signal.SIGTSTP,
}


class Terminal:
    """The client's end of the pseudo-terminal.

    `other_end` is the one that programs have, as they have it: some things can only be done
    there, and the flags of an open file are shared by all that inherited it. It is this object's
    to close; while it is open the terminal has no end.
    """

    def __init__(self, fd: int, other_end: int = -1) -> None:
        self.fd = fd
        self._other_end = other_end
        self.hung_up = False  # by a command, for good: nobody can use it any more
        os.set_blocking(fd, False)
        self._mode: bytes = fcntl.ioctl(fd, termios.TCGETS, _NO_MODE)
        self.device = _slave_device(fd)
        self._buffer = bytearray(_BLOCK)
        self._view = memoryview(self._buffer)

    def read(self, deliver: Callable[[memoryview], None], limit: int) -> bool:
        """Pass on what is there, at most about `limit` bytes, without waiting.

        What `deliver` gets is a view of a buffer that is used again: 4 KiB at most on Linux. Each
        goes at once, since the kernel has a worker move the next 4 KiB here meanwhile; a read
        that comes before it is done sleeps for it, non-blocking or not. Collecting 64 KiB first
        made a flood take 1.3 times as long. Returns whether the terminal is still open.
        """
        left = limit
        while left > 0:
            try:
                got = os.readv(self.fd, [self._buffer])
            except BlockingIOError:
                return True
            except OSError:  # EIO: nobody has the other end open any more
                return False
            if not got:
                return False
            left -= got
            deliver(self._view[:got])
        return True

    def write(self, data: bytes | memoryview) -> int:
        """Type the bytes; returns how many were taken (0: the terminal's buffer is full)."""
        try:
            return os.write(self.fd, data)
        except BlockingIOError:
            return 0

    @property
    def other_end(self) -> int:
        """The descriptor of the programs' end; -1 once it has been let go."""
        return self._other_end

    def foreground_group(self) -> int:
        """The process group in front, or 0 when there is none."""
        try:
            return max(os.tcgetpgrp(self.fd), 0)
        except OSError:
            return 0

    def signal(self, number: int) -> None:
        """Signal the group in front, as a key would, whatever `stty` made of the keys.

        Raises ProcessLookupError when nothing is in front.
        """
        if number in _KEYS.values():
            try:
                fcntl.ioctl(self.fd, _TIOCSIG, int(number))
            except OSError:  # a kernel without it
                os.killpg(self._group(), number)
        else:
            os.killpg(self._group(), number)

    def _group(self) -> int:
        group = self.foreground_group()
        if group <= 1:
            raise ProcessLookupError("no process group has the terminal")
        return group

    def line_mode(self) -> bool:
        """Whether the terminal collects lines (canonical mode), which have a limit."""
        return bool(termios.tcgetattr(self.fd)[3] & termios.ICANON)

    def maps_newlines(self) -> bool:
        """Whether what programs write has line feeds that stand for new lines."""
        return bool(termios.tcgetattr(self.fd)[1] & termios.ONLCR)

    def signal_of(self, byte: bytes) -> int | None:
        """The signal that the terminal sends when this byte is typed."""
        mode = termios.tcgetattr(self.fd)
        if not mode[3] & termios.ISIG:
            return None
        return next((number for key, number in _KEYS.items() if mode[6][key] == byte), None)

    def restore_mode(self) -> bool:
        """Undo what the last command did to the mode; returns whether it had done something.

        Cheap when it did nothing. A program that leaves the terminal non-blocking has done so to
        all that come after it.
        """
        changed = False
        try:
            changed = fcntl.ioctl(self._other_end, termios.TCGETS, _NO_MODE) != self._mode
            if changed:
                fcntl.ioctl(self.fd, termios.TCSETS, self._mode)
        except OSError:
            self.hung_up = True
        if not os.get_blocking(self._other_end):
            os.set_blocking(self._other_end, True)
        return changed

    def let_go(self) -> None:
        """Close the programs' end, so that the terminal ends when the last of them does. Twice
        is safe.
        """
        if self._other_end >= 0:
            os.close(self._other_end)
            self._other_end = -1

    def start_output(self) -> None:
        """Let programs write again where one has stopped the terminal (`tcflow`, or C-s typed).

        Nothing else would: no person is there to type C-q. The two calls undo either way.
        """
        with self._unless_hung_up():
            termios.tcflow(self._other_end, termios.TCOOFF)
            termios.tcflow(self._other_end, termios.TCOON)

    def flush_input(self) -> None:
        """Drop what was typed and not read."""
        with self._unless_hung_up():
            termios.tcflush(self._other_end, termios.TCIFLUSH)

    @contextlib.contextmanager
    def _unless_hung_up(self) -> Iterator[None]:
        """Around what is asked of the programs' end, which only fails there."""
        try:
            yield
        except (OSError, termios.error):
            self.hung_up = True

    def resize(self, rows: int, cols: int) -> None:
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))


def _slave_device(fd: int) -> int:
    """The device number of a master's other end, which programs hold."""
    return slave_device(int.from_bytes(fcntl.ioctl(fd, _TIOCGPTN, b"\0\0\0\0"), sys.byteorder))


def has_unread(fd: int) -> bool:
    """Whether there is input that no program has read, by a descriptor of the programs' end.

    The kernel has a worker bring it here, which takes its time where the processors are busy;
    until then a reader sleeps on. Asking waits for that worker: what was typed before is here now,
    or read.
    """
    ready = select.poll()
    ready.register(fd, select.POLLIN)
    return ready.poll(0) == [(fd, select.POLLIN)]


def slave_device(index: int) -> int:
    """The device number of /dev/pts/INDEX: one major number, however many there are."""
    return os.makedev(_PTS_MAJOR, index)


def terminal_index(device: int) -> int:
    """The other way round."""
    return os.minor(device)


def check_lines(data: bytes) -> None:
    """Raises InputTooLong where a terminal in line mode would cut a line silently."""
    longest = max(map(len, data.replace(b"\r", b"\n").split(b"\n")))
    if longest > LINE_LIMIT:
        raise InputTooLong(longest, LINE_LIMIT)
