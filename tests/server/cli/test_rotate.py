"""`tether rotate`: another secret, and the server that is there comes back by it."""

from __future__ import annotations

from tether_server import CmdRunAction, SyncEventStreamRuntime
from tether_server.record import load_record

from .conftest import Tether, said


def test_it_is_changed_beside_a_running_server(
    tether: Tether, live: SyncEventStreamRuntime
) -> None:
    former = load_record("live").secret
    done = tether("rotate", "live")
    assert said(done.stdout) == "live has another secret now\n"
    present = load_record("live").secret
    assert former not in done.stdout.decode()
    assert present not in done.stdout.decode()
    assert present != former
    assert live.run(CmdRunAction(command="echo on")).content == "on\n"
    live.rotate_secret()
    assert load_record("live").secret != present
    assert tether("rotate", "-q", "live").stdout == b""


def test_a_sandbox_that_is_not_there(tether: Tether) -> None:
    done = tether("rotate", "nowhere")
    assert done.returncode == 125
    assert "no sandbox named 'nowhere'" in said(done.stderr)
