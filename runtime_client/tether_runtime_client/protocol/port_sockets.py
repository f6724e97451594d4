"""What is asked of sockets: haste, a sign of the other machine's death, a path that is free; and
what their errors come to.
"""

from __future__ import annotations

import errno
import os
import socket
import stat

from .errors import PortError, PortTaken, PortUnusable

PATH_HINT = "Choose a path in a folder that is there and writable, its last part 80 bytes at most"


def remove_dead(path: str) -> None:
    """Remove a socket that nobody listens on; raises `OSError` for anything else that is there."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise FileExistsError(errno.EEXIST, "it is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        except BlockingIOError:  # it has more callers than it can take: it is alive
            return


def cannot_listen(where: str, problem: OSError, *, is_path: bool) -> PortError:
    """Why an address or a path, which no other listener has, is not to be had."""
    if isinstance(problem, FileExistsError):
        text = f"{where} is there already, and no socket: it is never replaced"
        return PortTaken(text, hint="Choose another path")
    text = f"{where} cannot be listened on: {reason(problem)}"
    return PortUnusable(text, hint=PATH_HINT if is_path else None)


def reason(problem: OSError) -> str:
    """In the system's words: those of Python have its own around them."""
    if problem.errno is not None:
        return os.strerror(problem.errno)
    return str(problem) or "no answer in time"


def at_once(connection: socket.socket) -> None:
    """What is small is sent at once, as whoever sent it meant it to be."""
    if connection.family in (socket.AF_INET, socket.AF_INET6):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def notice_death(connection: socket.socket) -> None:
    """Have the kernel find out in a minute that the other machine is gone, without a word of it."""
    if connection.family in (socket.AF_INET, socket.AF_INET6):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 60_000)
