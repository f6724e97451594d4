"""TLS on a connection before it is used: an authority of the sandbox's own, and nobody else's.

Each sandbox that asks for TLS has an authority made for it, which has signed one certificate and
whose key was then thrown away. Whoever connects trusts that authority alone, so no certificate of
the machine's, and no other sandbox's, is taken for it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from contextlib import suppress

from .joint import Joints

DOMAIN = "tether.invalid"
"""What every such certificate is made out to, with the sandbox's id before it: that is how a
listener that several sandboxes dial knows whose certificate to show. An address says nothing here.
"""

_READ = 256 * 1024


def trusting(authority: str) -> ssl.SSLContext:
    """For the end that connects: nothing but a certificate of this authority (PEM) will do."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=authority)
    return context


def presenting(identity: str) -> ssl.SSLContext:
    """For the end that listens: a certificate and its key (PEM), which come to no file system."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    descriptor = os.memfd_create("identity", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, identity.encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return context


async def secured(
    connection: socket.socket, context: ssl.SSLContext, joints: Joints, name: str | None = None
) -> socket.socket:
    """Shake hands, and return a socket for what goes through TLS; `connection` is closed with it.

    `name` is whose certificate the end that connects asks for, and None at the one that listens.

    Raises `OSError` (`ssl.SSLError` is one) when the other end is not who it should be.
    """
    far = _Secured(connection, context, name)
    try:
        await far.shake_hands()
    except BaseException:
        connection.close()
        raise
    return joints.join(far)


class _Secured:
    """What goes through TLS, a `FarEnd`. Either way can be ended alone, which asyncio's cannot."""

    def __init__(
        self, connection: socket.socket, context: ssl.SSLContext, name: str | None
    ) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._came = ssl.MemoryBIO()
        self._goes = ssl.MemoryBIO()
        host = None if name is None else f"{name}.{DOMAIN}"
        self._tls = context.wrap_bio(
            self._came, self._goes, server_side=name is None, server_hostname=host
        )
        self._sending = asyncio.Lock()

    async def shake_hands(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._take()
            except ssl.SSLError:
                await self._flush()  # the alert says why
                raise
            else:
                await self._flush()
                return

    async def read(self) -> bytes:
        while True:
            try:
                return self._tls.read(_READ)
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLWantReadError:
                if self._goes.pending and not self._sending.locked():
                    await self._flush()  # TLS itself has something to say
                await self._take()

    async def write(self, data: bytes) -> None:
        self._tls.write(data)
        await self._flush()

    async def end(self) -> None:
        """OpenSSL also looks for the other's end then, and takes it ill if there is more instead:
        what has come and was not read yet is kept from it.
        """
        unread = self._came.read()
        with suppress(ssl.SSLWantReadError):
            self._tls.unwrap()
        self._came.write(unread)
        await self._flush()

    def close(self) -> None:
        self._connection.close()

    async def _flush(self) -> None:
        """Whoever sends goes on until there is nothing more: reading never waits for that."""
        async with self._sending:
            while data := self._goes.read():
                await self._loop.sock_sendall(self._connection, data)

    async def _take(self) -> None:
        data = await self._loop.sock_recv(self._connection, _READ)
        if not data:
            raise ConnectionResetError("the connection was cut, without TLS's word that it is over")
        self._came.write(data)
