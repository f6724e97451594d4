"""Debian's SSH server on loopback, with keys and settings of its own, while it is needed."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

INSTALL = Path(__file__).parents[2] / "docker" / "sshd"
PROGRAM = "/usr/sbin/sshd"
_TRIES = 5
_SETTINGS = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AcceptEnv *
SetEnv HOME={folder}
MaxSessions 1000
MaxStartups 1000
UseDNS no
PrintMotd no
PrintLastLog no
Subsystem sftp internal-sftp
{more}
"""


@dataclass(frozen=True, slots=True)
class Sshd:
    """Where a server listens and how to log in."""

    port: int
    user: str
    key: Path
    known_hosts: Path
    pid: int
    host: str = "127.0.0.1"


@contextmanager
def running_sshd(more: str = "") -> Iterator[Sshd]:
    """A server that lets this user in by key; `more` is added to its settings.

    Sessions have an empty home folder: bash would read this user's ~/.bashrc for every command.

    Installs the program where it is missing. Raises `RuntimeError` with the server's own words
    when it does not start.
    """
    subprocess.run([INSTALL], check=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # compiled in; it starts without none
    with tempfile.TemporaryDirectory(prefix="tether-sshd-") as folder:
        _make_keys(Path(folder))
        process, port = _start(Path(folder), more)
        drain = threading.Thread(target=_drain, args=[process.stderr], daemon=True)
        drain.start()
        try:
            yield _describe(Path(folder), port, process.pid)
        finally:
            process.terminate()
            process.wait()
            drain.join(timeout=5)
            if not drain.is_alive():  # what a session left running may hold the other end
                process.stderr.close()  # type: ignore[union-attr]


def _make_keys(folder: Path) -> None:
    for name in ("host", "user"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True)


def _describe(folder: Path, port: int, pid: int) -> Sshd:
    known = folder / "known_hosts"
    known.write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    user = pwd.getpwuid(os.geteuid()).pw_name
    return Sshd(port, user, folder / "user", known, pid)


def _start(folder: Path, more: str) -> tuple[subprocess.Popen[str], int]:
    """It cannot choose a port itself; another program may take the free one first: try again."""
    said = ""
    for _ in range(_TRIES):
        port = _free_port()
        settings = folder / "settings"
        settings.write_text(_SETTINGS.format(port=port, folder=folder, more=more))
        process = subprocess.Popen(
            [PROGRAM, "-D", "-e", "-f", str(settings)], stderr=subprocess.PIPE, text=True
        )
        said = _until_listening(process)
        if process.returncode is None:
            return process, port
    raise RuntimeError(f"the SSH server does not start: {said}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _until_listening(process: subprocess.Popen[str]) -> str:
    """What it said until it listened, or until it ended; then it has a return code."""
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if line.startswith("Server listening"):
            return said
    process.wait()
    return said


def _drain(stream: IO[str] | None) -> None:
    assert stream is not None
    for _ in stream:
        continue
