"""paramiko over one connection: each shell or command is a channel of it. Its calls block."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial

import paramiko

from .base import Call, Peer
from .marker import BASH, QUIET, Marked
from .sshd import Sshd

_READ = 64 * 1024


@contextmanager
def paramiko_peers(sshd: Sshd) -> Iterator[list[Peer]]:
    """A kept shell without a terminal and with one, and a command at a time."""
    with connected(sshd) as client:
        yield [_kept_peer(client, terminal=False), _kept_peer(client, terminal=True), _once(client)]


@contextmanager
def connected(sshd: Sshd) -> Iterator[paramiko.SSHClient]:
    """A connection to that server, without this user's settings."""
    with paramiko.SSHClient() as client:
        client.load_host_keys(str(sshd.known_hosts))
        client.connect(
            *(sshd.host, sshd.port, sshd.user),
            key_filename=str(sshd.key),
            allow_agent=False,
            look_for_keys=False,
        )
        yield client


def _kept_peer(client: paramiko.SSHClient, *, terminal: bool) -> Peer:
    return Peer(
        "paramiko, kept shell, terminal" if terminal else "paramiko, kept shell",
        "a shell, marked",
        opens_call=partial(_kept, client, terminal),
        has_terminal=terminal,
    )


def _once(client: paramiko.SSHClient) -> Peer:
    @asynccontextmanager
    async def open_call() -> AsyncIterator[Call]:
        yield partial(_run_once, client)

    name = "paramiko, one exec a command"
    return Peer(name, "nothing", opens_call=open_call, block=2, each=5)


def _run_once(client: paramiko.SSHClient, command: str) -> int:
    _, stdout, _ = client.exec_command(command)
    size = len(stdout.read())
    if stdout.channel.recv_exit_status():
        raise RuntimeError("the command failed")
    return size


@asynccontextmanager
async def _kept(client: paramiko.SSHClient, terminal: bool) -> AsyncIterator[Call]:
    transport = client.get_transport()
    assert transport is not None
    channel = transport.open_session()
    if terminal:
        channel.get_pty("xterm-256color")
    channel.exec_command(" ".join([*BASH, "--noediting"]))
    run = partial(_run, channel, Marked())
    if terminal:
        run(QUIET)
    try:
        yield run
    finally:
        channel.close()


def _run(channel: paramiko.Channel, marked: Marked, command: str) -> int:
    channel.sendall(marked.line(command))
    while (size := marked.feed(_read(channel))) is None:
        continue
    return size


def _read(channel: paramiko.Channel) -> bytes:
    data = channel.recv(_READ)
    if not data:
        raise RuntimeError("the channel was closed")
    return data
