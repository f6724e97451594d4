"""What one command's promises cost at the least, without any code that arranges it.

`SessionBash` is bash as a session keeps it, in reach of blocking calls: its terminal, and the line
that runs a command and reports its end so that nothing can forge it. `Least` is the rest. Every
action is checked before it is stored, stored before it is sent, read by the other side and
journalled before it runs; its two events are made, journalled, sent and read. Each of these steps
is one call into compiled code: pydantic's core, or a `write` to a file.
"""

from __future__ import annotations

import fcntl
import os
import pty
import secrets
import socket
import subprocess
import termios
from collections.abc import Callable, Mapping
from pathlib import Path

from tether_runtime_client.protocol.events import ActionAccepted, CmdOutputDelta
from tether_runtime_client.protocol.frames import (
    decode_from_client,
    decode_from_server,
    encode_numbered,
    encode_submit,
    encode_submitted,
)
from tether_runtime_client.protocol.limits import DELTA_SIZE
from tether_runtime_client.protocol.message import to_json
from tether_runtime_client.shell.control import Carried, ControlLines
from tether_runtime_client.shell.descriptors import Descriptors
from tether_runtime_client.shell.reports import ReportTo
from tether_runtime_client.shell.spawn import choose_base
from tether_server import CmdOutputObservation, CmdRunAction

from .output import LINE

_ID = "0" * 24
_EPOCH = "0" * 16
_NONCES = 4  # in a report


class Least:
    """Both processes' share of one `true`, or of output, one call after the other."""

    def __init__(self, folder: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._files = [
            os.open(folder / name, flags, 0o600)
            for name in ("actions", "journal", "output", "stored")
        ]
        self._actions, self._journal, self._output, self._stored = self._files
        self._seq = 0

    def __enter__(self) -> Least:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            os.close(file)

    def run(self) -> None:
        """All of it once."""
        action = to_json(CmdRunAction(command="true"))
        frame = encode_submit(_ID, action)
        decode_from_server(frame)
        os.write(self._actions, encode_submitted(_ID, action, 0.0))
        decode_from_server(frame)
        decode_from_client(self._journalled(ActionAccepted(action_id=_ID, kind="run")))
        decode_from_client(self._journalled(_observation()))

    def keep_output(self, size: int) -> None:
        """The same for so many bytes that a command wrote: into its file, and on as events."""
        data = f"{LINE}\n".encode() * (DELTA_SIZE // (len(LINE) + 1))
        for _ in range(size // len(data)):
            os.write(self._output, data)
            self._seq += 1
            event = CmdOutputDelta(
                action_id=_ID,
                content=data.decode(),
                session="default",
                offset=self._seq * len(data),
                length=len(data),
            )
            frame = self._journalled(event)
            decode_from_client(frame)
            os.write(self._stored, frame)

    def _journalled(self, event: ActionAccepted | CmdOutputDelta | CmdOutputObservation) -> bytes:
        self._seq += 1
        frame = encode_numbered(_EPOCH, self._seq, event)
        os.write(self._journal, frame)
        return frame


def _observation() -> CmdOutputObservation:
    return CmdOutputObservation(
        action_id=_ID,
        content="",
        exit_code=0,
        status="completed",
        cwd="/",
        session="default",
        pid=1,
        total_bytes=0,
        truncated=False,
        full_output_path=None,
        duration_s=0.001,
    )


class SessionBash:
    """Commands by a socket, reports by another, output on a terminal that nobody reads."""

    def __init__(self) -> None:
        self._fds = Descriptors(choose_base())
        self._lines = ControlLines(self._fds)
        self._control, stdin = socket.socketpair()
        self._status, reports = socket.socketpair()
        self._mailbox = os.memfd_create("mailbox")
        self._terminal, terminal = pty.openpty()
        null = os.open(os.devnull, os.O_RDWR)
        places = {0: stdin.fileno(), 1: terminal, 2: null} | {
            self._fds.terminal: terminal,
            self._fds.stderr: terminal,
            self._fds.status: reports.fileno(),
            self._fds.null: null,
            self._fds.mailboxes[0]: self._mailbox,
            self._fds.mailboxes[1]: self._mailbox,
        }
        self._process = _start_bash(places, terminal)
        for fd in (terminal, null):
            os.close(fd)
        stdin.close()
        reports.close()
        self._ask(self._lines.setup)
        while not self.ended():
            continue

    def __enter__(self) -> SessionBash:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._control.close()
        self._status.close()
        os.close(self._mailbox)
        os.close(self._terminal)

    def run(self, command: str) -> None:
        """Run a command that writes nothing."""
        self.begin(command)
        while not self.ended():
            continue

    def begin(self, command: str) -> int:
        """Hand over a plain program; read its report by `ended` when the descriptor returned has
        some.
        """
        self._ask(lambda to: self._lines.command(command, to._replace(brief=True), Carried()))
        return self._status.fileno()

    def ended(self) -> bool:
        """Wait for some of the report; whether that was the rest of it."""
        self._report += self._status.recv(4096)
        return self._report.count(self._nonce) >= _NONCES

    def _ask(self, line: Callable[[ReportTo], bytes]) -> None:
        self._nonce, self._report = secrets.token_hex(8).encode(), b""
        os.lseek(self._mailbox, 0, os.SEEK_SET)
        self._control.sendall(line(ReportTo(self._nonce)))


def _start_bash(places: Mapping[int, int], terminal: int) -> subprocess.Popen[bytes]:
    def in_child() -> None:
        os.setsid()
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
        for place, fd in places.items():
            os.dup2(fd, place)

    argv = ["bash", "--noediting", "--norc", "--noprofile", "-i"]
    return subprocess.Popen(argv, preexec_fn=in_child, close_fds=False)
