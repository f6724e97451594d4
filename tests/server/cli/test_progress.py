"""What is shown while somebody waits: on a terminal, and nothing elsewhere."""

from __future__ import annotations

import sys

import pexpect
import pytest

from tether_server.cli.progress import ProgressDisplay


@pytest.mark.parametrize("quiet", [True, False])
def test_nobody_waits_off_a_terminal(quiet: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressDisplay(quiet=quiet) as display:
        display.say("pulling")
        display.count(1, 2)
    assert capsys.readouterr() == ("", "")


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
