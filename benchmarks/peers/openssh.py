"""OpenSSH's own client, `ssh`, as a process beside us: its pipes are read in a tight loop."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from .base import Call, Peer
from .marker import BASH, QUIET, Marked
from .sshd import Sshd

_READ = 64 * 1024


def openssh_peers(sshd: Sshd) -> list[Peer]:
    """A kept shell with a terminal (`ssh -tt`) and without."""
    return [
        Peer(f"ssh{option}, kept shell", "a shell, marked", opens_call=partial(_open, sshd, tty),
             has_terminal=tty)
        for option, tty in (("", False), (" -tt", True))
    ]  # fmt: skip


def ssh_command(sshd: Sshd, *options: str) -> list[str]:
    """`ssh` to that server, without this user's settings."""
    settings = {
        "UserKnownHostsFile": sshd.known_hosts,
        "IdentityFile": sshd.key,
        "BatchMode": "yes",
    }
    shown = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    login = f"{sshd.user}@{sshd.host}"
    return ["ssh", "-F", "none", "-q", *options, *shown, "-p", str(sshd.port), login]


@asynccontextmanager
async def _open(sshd: Sshd, tty: bool) -> AsyncIterator[Call]:
    command = [*ssh_command(sshd, "-tt" if tty else "-T"), *BASH, "--noediting"]
    process = _start(command)
    run = partial(_run, process, Marked())
    if tty:
        run(QUIET)
    try:
        yield run
    finally:
        process.terminate()
        process.communicate()


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)


def _run(process: subprocess.Popen[bytes], marked: Marked, command: str) -> int:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(marked.line(command))
    while (size := marked.feed(_read(process.stdout.fileno()))) is None:
        continue
    return size


def _read(descriptor: int) -> bytes:
    data = os.read(descriptor, _READ)
    if not data:
        raise RuntimeError("ssh ended")
    return data
