"""A shell that is no use any more is found so while its command is quiet."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tether_runtime_client.shell import CommandEnd
from tether_runtime_client.shell.shell_end import FILELESS, PROMPTING, REPLACED, ShellEnd

from .conftest import Driver


def told(end: CommandEnd) -> tuple[str, str]:
    assert end.reason == "session_ended"
    assert end.state_lost is not None
    return end.state_lost.cause, end.state_lost.reason


@pytest.mark.parametrize(
    ("before", "command", "found"),
    [
        ("true", "exec cat", REPLACED),
        ("true", "ulimit -n 2", FILELESS),
        ("readonly PROMPT_COMMAND='sleep 100'", "echo never", PROMPTING),
    ],
)
async def test_what_is_found_is_told(
    shell: Driver, before: str, command: str, found: ShellEnd
) -> None:
    await shell.say(before)
    began = time.monotonic()
    result = await shell.run(command)
    assert told(result.end) == (found.cause, found.reason)
    assert "never" not in result.text
    assert time.monotonic() - began < 3
    assert await shell.say("echo new") == "new\n"


async def test_a_stopped_shell_is_continued(shell: Driver) -> None:
    pid = shell.session.pid
    assert await shell.say("kill -STOP $$; echo on") == "on\n"
    assert shell.session.pid == pid


async def test_stopped_output_is_started(shell: Driver) -> None:
    """As a C-s would, that nobody is there to undo."""
    python = "import sys, termios; termios.tcflow(0, termios.TCOOFF)"
    assert await shell.say(f"python3 -c '{python}'; echo on") == "on\n"


async def test_a_shell_that_closed_its_channel(shell: Driver) -> None:
    """The next command cannot reach it, so it runs in a new shell."""
    pid = shell.session.pid
    await shell.run("exec 1006<&-")
    began = time.monotonic()
    result = await shell.run("echo ran; touch ran")
    assert (result.text, result.end.reason) == ("ran\n", "completed")
    assert result.end.state_lost is not None
    assert shell.session.pid != pid
    assert time.monotonic() - began < 1


async def test_a_stolen_control_channel(shell: Driver) -> None:
    """A background job that reads the channel eats lines: noticed, and nothing runs twice."""
    await shell.say("(cat <&1006 >stolen; true) & disown; sleep 0.1")
    for number in range(5):
        began = time.monotonic()
        result = await shell.run(f"echo {number} >> ran")
        assert time.monotonic() - began < 1
        if result.end.reason == "session_ended":
            break
    # Not by a command: where the thief was slow until now, it would take that one's line.
    file = Path(result.end.cwd) / "ran"
    ran = file.read_text().split() if file.exists() else []
    assert ran == sorted(set(ran))
