"""Handlers that are made with the first action that needs them."""

from __future__ import annotations

import subprocess
import sys

from tether_runtime_client.dispatcher import Context
from tether_runtime_client.handlers.later import Later
from tether_runtime_client.protocol import CancelAction, DoneObservation

NOT_BEFORE = ("files", "search", "transfer", "watch", "ports")
LOOK = "import sys, tether_runtime_client.client; print(*sys.modules)"


class Cancels:
    made = 0

    def __init__(self) -> None:
        type(self).made += 1

    async def cancel(self, action: CancelAction, context: Context) -> DoneObservation:
        return DoneObservation(action_id=action.target_id)


async def test_they_are_made_once_and_not_before() -> None:
    later = Later(Cancels)
    handle = later.handle(lambda it: it.cancel)
    context = Context("a", lambda event: None)
    assert Cancels.made == 0
    ended = [await handle(CancelAction(target_id=name), context) for name in ("x", "y")]
    assert [each.action_id for each in ended] == ["x", "y"]
    assert later.get() is later.get()
    assert Cancels.made == 1


def test_a_client_imports_none_of_them_at_its_start() -> None:
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "tether_runtime_client.handlers.shell" in loaded
    assert not loaded & {f"tether_runtime_client.handlers.{name}" for name in NOT_BEFORE}
    assert "tether_runtime_client.dial" not in loaded
