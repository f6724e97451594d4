"""`tether forward` and `tether reverse`: beside a running server, until somebody has enough."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import click
import pytest

from tether_server import PortOpened, SyncEventStreamRuntime
from tether_server.cli.pairs import port_pair, port_pairs

from ..ports.certificates import Authority
from .conftest import StartTether, Tether, said

SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{self.path} {self.headers.get('Authorization')}".encode())
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


@pytest.fixture
def inside(live: SyncEventStreamRuntime) -> int:
    process = live.spawn([sys.executable, "-c", SERVER])
    return int(process.stdout.readline())


def fetched(url: str, token: str = "") -> str:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
        return str(answer.read().decode())


def line_of(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().decode().strip()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def test_a_port_beside_a_running_server(
    live: SyncEventStreamRuntime, inside: int, start_tether: StartTether, tether: Tether
) -> None:
    here = free_port()
    process = start_tether("forward", "live", f"{here}:{inside}")
    url = f"http://127.0.0.1:{here}"
    assert line_of(process) == f"{url} leads to {inside} in the sandbox"
    assert fetched(f"{url}/x") == "/x None"
    listed = said(tether("forward").stdout).splitlines()
    assert listed[0].split() == ["SANDBOX", "WHERE", "LEADS", "TO", "PROCESS", "NOTE"]
    assert listed[1].split() == ["live", url, str(inside), "inside", str(process.pid)]
    for name, hint in (("8000", "`tether forward NAME 8000`"), ("nosuch", "`tether ps`")):
        unknown = tether("forward", name)
        assert unknown.returncode == 125
        assert f"no sandbox named '{name}' is known here" in said(unknown.stderr)
        assert hint in said(unknown.stderr)
    taken = tether("forward", "live", f"{here}:{inside}")
    assert taken.returncode == 125
    assert f"sandbox live forwards {inside} there (process {process.pid})" in said(taken.stderr)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert len(said(tether("forward", "live").stdout).splitlines()) == 1
    assert live.exec(["true"]).exit_code == 0
    assert not [e for e in live.events.since(0) if isinstance(e, PortOpened)]


def test_it_ends_with_the_sandbox(
    live: SyncEventStreamRuntime, inside: int, start_tether: StartTether
) -> None:
    process = start_tether("forward", "live", f":{inside}")
    assert "leads to" in line_of(process)
    live.close()
    assert process.wait(30) == 125
    assert process.stderr is not None
    assert b"the sandbox is gone" in process.stderr.read()


def test_a_token_where_others_reach_it(
    live: SyncEventStreamRuntime,
    inside: int,
    start_tether: StartTether,
    tether: Tether,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused = tether("forward", "live", f":{inside}", "--bind", "0.0.0.0")
    assert refused.returncode == 125
    assert "Give --token or --tls-cert, or bind to loopback" in said(refused.stderr)
    process = start_tether("forward", "live", f":{inside}", "--bind", "0.0.0.0", "--token")
    line, _, token = line_of(process).partition(", which other machines reach; token: ")
    url, _, shown = line.partition(f" leads to {inside} in the sandbox; it listens on 0.0.0.0:")
    assert url.endswith(f":{shown}")
    assert fetched(f"{url}/y", token) == "/y None"
    here = "0.0.0.0:" + url.rpartition(":")[2]
    listed = said(tether("forward", "live").stdout).splitlines()
    assert listed[1].endswith(f"on {here}, token")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        fetched(f"{url}/y", "wrong")
    monkeypatch.setenv("TETHER_FORWARD_TOKEN", "one-of-my-own-choice")
    process = start_tether("forward", "live", f":{inside}", "--bind", "127.0.0.1", "--token")
    assert line_of(process).endswith("; token: one-of-my-own-choice")


def test_a_port_of_here_inside(
    live: SyncEventStreamRuntime, inside: int, start_tether: StartTether
) -> None:
    there = free_port()
    process = start_tether("reverse", "live", f"{there}:{inside}")
    expected = f"http://127.0.0.1:{there} in the sandbox leads to 127.0.0.1:{inside} here"
    assert line_of(process) == expected
    program = f"import urllib.request as u; print(u.urlopen('http://127.0.0.1:{there}/z').read())"
    assert live.exec([sys.executable, "-c", program]).stdout == b"b'/z None'\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143


def test_refusals_are_told_while_it_holds(
    live: SyncEventStreamRuntime, start_tether: StartTether
) -> None:
    nobody = free_port()
    process = start_tether("forward", "live", f":{nobody}")
    url = line_of(process).split()[0]
    with pytest.raises(OSError, match="reset"):
        fetched(url)
    assert process.stderr is not None
    assert b"connections fail" in process.stderr.readline()
    with socket.create_server(("127.0.0.1", nobody)) as listening:
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))):
            listening.accept()[0].close()
        assert b"connections succeed again: " + url.encode() in process.stderr.readline()


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("5050", (5050, 5050)),
        ("5051:5050", (5051, 5050)),
        (":5050", (0, 5050)),
        ("5051:/run/app", (5051, "/run/app")),
        ("/tmp/a:b:5050", ("/tmp/a:b", 5050)),
    ],
)
def test_pairs(text: str, pair: tuple[object, object]) -> None:
    assert port_pair(text) == pair


@pytest.mark.parametrize("text", ["", "a", "0", "1:0", "70000", "x:1", "/a/path", "1:2:3", "-1"])
def test_what_is_no_pair(text: str) -> None:
    with pytest.raises(click.UsageError):
        port_pair(text)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["8108:8000", "8109:8000"], "8000 is given twice"),
        (["8000", ":8000"], "8000 is given twice"),
        (["99999"], "there is no port 99999; ports are 1 to 65535"),
        (["8150:0"], "there is no port 0; ports are 1 to 65535"),
        ([""], "an empty word"),
    ],
)
def test_pairs_that_cannot_be(texts: list[str], words: str) -> None:
    with pytest.raises(click.UsageError, match=words):
        port_pairs(texts)


def test_two_ways_to_one_port() -> None:
    assert port_pairs(["8000", "/tmp/a:8000", "/tmp/b:8000"]) == [
        (8000, 8000),
        ("/tmp/a", 8000),
        ("/tmp/b", 8000),
    ]


def test_a_word_behind_token(tether: Tether) -> None:
    done = tether("forward", "live", "80", "--token", "secret")
    assert "secret is no pair of ports" in said(done.stderr)
    assert "goes into TETHER_FORWARD_TOKEN" in said(done.stderr)


def test_certificates_that_are_none(tether: Tether, tmp_path: Path) -> None:
    (tmp_path / "cert").write_text("nothing")
    done = tether("forward", "live", "80", "--tls-cert", str(tmp_path / "cert"))
    assert done.returncode == 125
    assert f"--tls-cert: {tmp_path / 'cert'} has not a certificate in PEM" in said(done.stderr)
    certificate, _ = Authority(tmp_path).issue("localhost")
    done = tether("forward", "live", "80", "--tls-cert", certificate)
    assert f"{certificate} has not the certificate's key with it: give" in said(done.stderr)
    key = str(tmp_path / "cert")
    done = tether("forward", "live", "80", "--tls-cert", certificate, "--tls-key", key)
    assert f"--tls-key: {key} has not the certificate's key" in said(done.stderr)
    done = tether("forward", "live", "80", "--tls-ca", str(tmp_path / "cert"))
    assert "go with --tls-cert" in said(done.stderr)


def test_the_sandbox_s_name_is_completed(live: SyncEventStreamRuntime, tether: Tether) -> None:
    import os

    environment = {
        **os.environ,
        "_TETHER_COMPLETE": "bash_complete",
        "COMP_WORDS": "tether forward li",
        "COMP_CWORD": "2",
    }
    assert "live" in said(tether(env=environment).stdout)
