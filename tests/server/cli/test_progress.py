"""What is shown while somebody waits: on a terminal, and where lines stay."""

from __future__ import annotations

import sys
import threading

import pexpect
import pytest

from tether_server.cli import progress
from tether_server.cli.progress import ProgressDisplay


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The plain lines, each at once."""
    lines: list[str] = []
    monkeypatch.setattr(progress, "PLAIN_AFTER_S", 0.0)
    monkeypatch.setattr(progress, "_say", lines.append)
    return lines


def wait_for_timers() -> None:
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join()


def test_what_takes_long_gets_a_line(shown: list[str]) -> None:
    with ProgressDisplay(quiet=False) as display:
        for message in ("pulling", "pulling", "building\x1b[2J"):
            display.say(message)
            wait_for_timers()
    display.say("too late")
    wait_for_timers()
    assert shown == ["pulling", "building\\e[2J"]


def test_what_is_quick_gets_none(shown: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PLAIN_AFTER_S", 60.0)
    with ProgressDisplay(quiet=False) as display:
        display.say("looking")
        display.say("starting")
        display.count(1, 2)
    wait_for_timers()
    assert shown == []


def test_quiet(shown: list[str]) -> None:
    with ProgressDisplay(quiet=True) as display:
        display.say("pulling")
        display.count(1, 2)
    wait_for_timers()
    assert shown == []


LIVE = """
import sys
from tether_server.cli.progress import ProgressDisplay
with ProgressDisplay(quiet=False) as display:
    display.say("copying \\x1b[31mthings")
    input()
    display.count(1500, 3000)
    input()
print("after", file=sys.stderr)
"""


def test_on_a_terminal_there_is_one_line_that_goes_away() -> None:
    child = pexpect.spawn(sys.executable, ["-c", LIVE], encoding="utf-8", timeout=60)
    child.expect(r"copying \\e\[31mthings")
    child.sendline()
    child.expect("1.5 kB of 3.0 kB")
    child.sendline()
    child.expect("after")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
