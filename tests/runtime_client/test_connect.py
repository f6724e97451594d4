"""`tether-runtime-client connect`: bytes both ways, half-close, and no way to wait for ever."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "tether_runtime_client", "connect"]
LOADED = """
import sys
from tether_runtime_client.connect import connect
loaded = {name.split(".")[0] for name in sys.modules}
heavy = loaded & {"asyncio", "pydantic", "websockets", "pexpect"}
sys.exit(len(heavy))
"""


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(tmp_path / "s"))
    made.listen()
    made.settimeout(20)
    yield made
    made.close()


@contextmanager
def connecting(path: Path | str) -> Iterator[subprocess.Popen[bytes]]:
    """The process, with pipes; it must have ended by itself."""
    pipe = subprocess.PIPE
    with subprocess.Popen([*COMMAND, str(path)], stdin=pipe, stdout=pipe, stderr=pipe) as process:
        try:
            yield process
            process.wait(20)
        finally:
            process.kill()


def served(listener: socket.socket) -> socket.socket:
    connection, _ = listener.accept()
    connection.settimeout(20)
    return connection


def test_bytes_go_both_ways(listener: socket.socket, tmp_path: Path) -> None:
    with connecting(tmp_path / "s") as process, served(listener) as connection:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"there")
        process.stdin.flush()
        assert connection.recv(100) == b"there"
        connection.sendall(b"back")
        assert process.stdout.read(4) == b"back"
        connection.close()
    assert process.returncode == 0


def test_a_half_close_is_passed_on_and_the_answer_still_comes(
    listener: socket.socket, tmp_path: Path
) -> None:
    with connecting(tmp_path / "s") as process, served(listener) as connection:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"question")
        process.stdin.close()
        asked = b""
        while data := connection.recv(100):
            asked += data
        assert asked == b"question"
        connection.sendall(b"answer")
        connection.close()
        assert process.stdout.read() == b"answer"
    assert process.returncode == 0


def test_the_end_of_the_client_ends_it_while_input_is_open(
    listener: socket.socket, tmp_path: Path
) -> None:
    with connecting(tmp_path / "s") as process:
        served(listener).close()
        process.wait(20)
    assert process.returncode == 0


def test_much_goes_both_ways_at_once_and_whole(listener: socket.socket, tmp_path: Path) -> None:
    """Each side sends all it has before it reads anything: neither way may wait for the other."""
    size = 24 * 1024 * 1024
    there, back = os.urandom(1 << 20) * 24, os.urandom(1 << 20) * 24
    got: dict[str, str] = {}

    def read_there(connection: socket.socket) -> None:
        digest = hashlib.sha256()
        while data := connection.recv(1 << 18):
            digest.update(data)
        got["there"] = digest.hexdigest()

    def read_back(process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        digest, left = hashlib.sha256(), size
        while left and (data := process.stdout.read(min(left, 1 << 18))):
            digest.update(data)
            left -= len(data)
        got["back"] = digest.hexdigest()

    with connecting(tmp_path / "s") as process, served(listener) as connection:
        assert process.stdin is not None
        readers = [
            threading.Thread(target=read_there, args=(connection,)),
            threading.Thread(target=read_back, args=(process,)),
        ]
        writer = threading.Thread(target=connection.sendall, args=(back,))
        writer.start()
        threading.Timer(0.2, readers[1].start).start()
        readers[0].start()
        process.stdin.write(there)
        process.stdin.close()
        writer.join(30)
        readers[0].join(30)
        connection.shutdown(socket.SHUT_WR)
        readers[1].join(30)
    assert got == {
        "there": hashlib.sha256(there).hexdigest(),
        "back": hashlib.sha256(back).hexdigest(),
    }


def test_a_reader_that_does_not_read_holds_up_its_own_way_only(
    listener: socket.socket, tmp_path: Path
) -> None:
    with connecting(tmp_path / "s") as process, served(listener) as connection:
        assert process.stdin is not None
        connection.setblocking(False)
        with pytest.raises(BlockingIOError):
            send_for_ever(connection)
        connection.settimeout(20)
        process.stdin.write(b"an interrupt")
        process.stdin.flush()
        assert connection.recv(100) == b"an interrupt"
        process.kill()


def send_for_ever(connection: socket.socket) -> None:
    idle = 0
    while True:
        try:
            connection.send(b"x" * 65536)
            idle = 0
        except BlockingIOError:
            idle += 1
            if idle == 20:
                raise
            threading.Event().wait(0.01)


def test_a_path_longer_than_the_kernel_takes(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120) / ("y" * 120)
    folder.mkdir(parents=True)
    descriptor = os.open(folder, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{descriptor}/s")
        os.close(descriptor)
        listener.listen()
        listener.settimeout(20)
        with connecting(folder / "s") as process:
            served(listener).close()
            process.wait(20)
    assert process.returncode == 0


@pytest.mark.parametrize("kind", ["nothing", "no folder", "a file", "nobody listens"])
def test_where_no_client_answers_it_says_so(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "s"
    if kind == "no folder":
        path = tmp_path / "no" / "s"
    elif kind == "a file":
        path.touch()
    elif kind == "nobody listens":
        stale = socket.socket(socket.AF_UNIX)
        stale.bind(str(path))
        stale.close()
    with connecting(path) as process:
        assert process.stderr is not None
        told = process.stderr.read().decode()
    assert process.returncode == 1
    assert told.startswith(f"no runtime client answers at {path}: ")
    assert "None" not in told
    assert "Traceback" not in told


def test_a_broken_way_out_is_no_traceback(listener: socket.socket, tmp_path: Path) -> None:
    with connecting(tmp_path / "s") as process, served(listener) as connection:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        connection.sendall(b"x" * 100_000)
        told = process.stderr.read().decode()
    assert process.returncode == 1
    assert "broke" in told
    assert "Traceback" not in told


def test_nothing_heavy_is_loaded() -> None:
    assert subprocess.run([sys.executable, "-c", LOADED], check=False).returncode == 0
