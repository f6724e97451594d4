"""The client's end of a shell's pseudo-terminal, which the event loop reads."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import sys
import termios
from collections.abc import Callable

from .errors import InputTooLong

LINE_LIMIT = 4095  # bytes a terminal in line mode takes in one line (N_TTY_BUF_SIZE - 1)
_BLOCK = 64 * 1024
_NO_MODE = bytes(64)  # room for the kernel's struct termios
_TIOCSIG = 0x40045436
_TIOCGPTPEER = 0x5441
_TIOCGPTN = 0x80045430
_KEYBOARD_SIGNALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP)


class Terminal:
    """The client's end of the pseudo-terminal."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        os.set_blocking(fd, False)
        self._mode = self._get_mode()
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

    def write(self, data: bytes) -> int:
        """Type the bytes; returns how many were taken (0: the terminal's buffer is full)."""
        try:
            return os.write(self.fd, data)
        except BlockingIOError:
            return 0

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
        if number in _KEYBOARD_SIGNALS:
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

    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self.fd)[3] & termios.ECHO)

    def maps_newlines(self) -> bool:
        """Whether what programs write has line feeds that stand for new lines."""
        return bool(termios.tcgetattr(self.fd)[1] & termios.ONLCR)

    def interrupts_on(self, byte: bytes) -> bool:
        """Whether typing this byte makes the terminal send SIGINT."""
        mode = termios.tcgetattr(self.fd)
        return bool(mode[3] & termios.ISIG) and mode[6][termios.VINTR] == byte

    def restore_mode(self) -> None:
        """Undo what the last command did to the mode. Cheap when it did nothing."""
        if self._get_mode() != self._mode:
            fcntl.ioctl(self.fd, termios.TCSETS, self._mode)

    def _get_mode(self) -> bytes:
        return fcntl.ioctl(self.fd, termios.TCGETS, _NO_MODE)

    def flush_input(self) -> None:
        """Drop what was typed and not read. Only the other end can do that, so it is opened."""
        peer = fcntl.ioctl(self.fd, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            termios.tcflush(peer, termios.TCIFLUSH)
        finally:
            os.close(peer)

    def resize(self, rows: int, cols: int) -> None:
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))


def _slave_device(fd: int) -> int:
    """The device number of a master's other end, which programs hold."""
    return slave_device(int.from_bytes(fcntl.ioctl(fd, _TIOCGPTN, b"\0\0\0\0"), sys.byteorder))


def slave_device(index: int) -> int:
    """The device number of /dev/pts/INDEX."""
    return os.makedev(136 + index // 256, index % 256)


def check_lines(data: bytes) -> None:
    """Raises InputTooLong where a terminal in line mode would cut a line silently."""
    longest = max(map(len, data.replace(b"\r", b"\n").split(b"\n")))
    if longest > LINE_LIMIT:
        raise InputTooLong(longest, LINE_LIMIT)
