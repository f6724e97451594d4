"""Into a container's network namespace, to its loopback: no forwarding, no NAT and no address.

A socket belongs to the network namespace of the thread that made it, for good. So a thread enters
the container's namespace, makes a socket, and ends; connecting is done here as with any other.
Nothing runs in the container, and no process is started.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import socket
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import TypeVar

from .base import Transport
from .tcp import Tls, connected

CLONE_NEWNET = 0x40000000

T = TypeVar("T")


class NetnsTransport(Transport):
    """Connects to `port` on the loopback of the process that `find_process` names.

    `find_process` returns the pid of the container's first process as this machine numbers it, and
    raises `OSError` where there is none, or where it is not on this machine.
    """

    name = "netns"

    def __init__(
        self, find_process: Callable[[], Awaitable[int]], port: int, tls: Tls | None = None
    ) -> None:
        self._find_process = find_process
        self._tls = tls
        self._port = port

    async def connect(self) -> socket.socket:
        """Connect; raises `OSError` when it may not be entered, or nothing listens."""
        pid = await self._find_process()
        made = await in_network_of(pid, lambda: socket.socket(socket.AF_INET))
        connection = await connected(made, "127.0.0.1", self._port)
        return await self._tls.secure(connection) if self._tls else connection

    def describe(self) -> str:
        """The port, on the container's loopback."""
        return f"127.0.0.1:{self._port} in the container's network namespace"


async def in_network_of(pid: int, do: Callable[[], T]) -> T:
    """Call `do` in a thread that is in the network namespace of a process, and ends then.

    Not a thread of a pool: the next one to use that would be in the wrong network. Raises
    `OSError`, and whatever `do` raises.
    """
    namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    done: Future[T] = Future()
    thread = threading.Thread(target=_inside, args=(namespace, do, done), daemon=True)
    thread.start()
    try:
        return await asyncio.shield(asyncio.wrap_future(done))
    except asyncio.CancelledError:
        done.add_done_callback(_close_unwanted)
        raise


def _inside(namespace: int, do: Callable[[], T], done: Future[T]) -> None:
    try:
        _enter(namespace)
        done.set_result(do())
    except BaseException as problem:  # it is raised where it is waited for
        done.set_exception(problem)
    finally:
        os.close(namespace)


def _enter(namespace: int) -> None:
    """`os.setns` came with Python 3.12."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        why = " (it takes root on this machine)" if code == errno.EPERM else ""
        text = f"the container's network namespace cannot be entered: {os.strerror(code)}{why}"
        raise OSError(code, text)


def _close_unwanted(done: Future[T]) -> None:
    """Whoever asked for it was cancelled before it was made."""
    if done.exception() is None and isinstance(made := done.result(), socket.socket):
        made.close()
