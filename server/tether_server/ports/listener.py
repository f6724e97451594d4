"""The local end of a forward: an address that is listened on, or an error that says why not."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress
from pathlib import Path

from tether_runtime_client.protocol.errors import PortTaken, TetherError
from tether_runtime_client.protocol.port_sockets import cannot_listen, remove_dead

from .options import Place
from .records import owner_of

BACKLOG = 1024


class Listener:
    """Bound and listening from its making on. `place` has the port that it got.

    The address can be bound again at once after the process is gone (SO_REUSEADDR). A UNIX socket
    is its owner's alone; one that a dead process left is replaced, and nothing else is.
    """

    def __init__(self, where: Place) -> None:
        self._inode = 0
        try:
            self.socket = self._bind_unix(Path(where.path)) if where.path else _bind_tcp(where)
        except OSError as problem:
            raise _error(where, problem) from None
        self.socket.setblocking(False)
        if where.path:
            self.place = where
        else:
            self.place = Place(where.host, int(self.socket.getsockname()[1]))

    def close(self) -> None:
        """Listen no more. Twice is safe."""
        self.socket.close()
        path = self.place.path
        if path is not None:
            with suppress(OSError):  # it went already
                if os.lstat(path).st_ino == self._inode:
                    os.unlink(path)

    def _bind_unix(self, path: Path) -> socket.socket:
        """Through its folder's descriptor: the kernel takes 107 bytes at most."""
        folder = os.open(path.absolute().parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        listening = socket.socket(socket.AF_UNIX)
        reached = f"/proc/self/fd/{folder}/{path.name}"
        try:
            remove_dead(reached)
            listening.bind(reached)
            os.chmod(reached, 0o600)  # before anybody can connect
            self._inode = os.lstat(reached).st_ino
            listening.listen(BACKLOG)
        except BaseException:
            listening.close()
            raise
        finally:
            os.close(folder)
        return listening


def _bind_tcp(where: Place) -> socket.socket:
    family = socket.AF_INET6 if ":" in where.host else socket.AF_INET
    return socket.create_server((where.host, where.port), family=family, backlog=BACKLOG)


def _error(where: Place, problem: OSError) -> TetherError:
    if problem.errno == errno.EADDRINUSE:
        owner = owner_of(str(where), where.port)
        return PortTaken(f"{where} is taken: {owner}", owner=owner)
    return cannot_listen(str(where), problem, is_path=where.path is not None)
