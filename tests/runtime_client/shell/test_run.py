"""What is told of one command: by its text, the signals it was given and its report."""

from __future__ import annotations

import signal

import pytest

from tether_runtime_client.shell.bring_up import Discard
from tether_runtime_client.shell.command import RunningCommand
from tether_runtime_client.shell.reports import ReportTo
from tether_runtime_client.shell.run import Request, Run
from tether_runtime_client.shell.status import StatusRecord


def run_of(text: str, *signals: int) -> Run:
    run = Run(Request(RunningCommand(text, Discard())), ReportTo(b"nonce"))
    run.signals.update(signals)
    return run


def record(exit_code: int, *, torn: bool = False, repeat: int = 0) -> StatusRecord:
    return StatusRecord(exit_code, "himB", "/", "", b"", repeat, torn)


@pytest.mark.parametrize(
    ("text", "may"),
    [
        ("sleep 20", False),
        ("a | b | c", False),
        ("sleep 20; echo", True),
        ("sleep 20\necho", True),
        ("a && b", True),
        ("a || b", True),
        ("f() { a; }", True),
        ("echo $(a)", True),
        ("echo `a`", True),
    ],
)
async def test_what_may_go_on_after_a_signal(text: str, may: bool) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGKILL):
        assert run_of(text).may_go_on_after(number) == may
    assert not run_of(text).may_go_on_after(signal.SIGTSTP)


async def test_it_is_interrupted_where_a_signal_of_ours_ended_it() -> None:
    assert run_of("x").reason(record(0)) == "completed"
    assert run_of("x").reason(record(143)) == "completed"
    assert run_of("x", signal.SIGTERM).reason(record(143)) == "interrupted"
    assert run_of("x", signal.SIGTERM).reason(record(3)) == "completed"


async def test_it_is_interrupted_where_the_shell_itself_was() -> None:
    assert run_of("x").reason(record(130, torn=True)) == "interrupted"
    assert run_of("x").reason(record(130)) == "completed"


async def test_bad_syntax_that_an_interrupt_made() -> None:
    run = run_of("x", signal.SIGINT)
    assert run.as_meant(record(2, torn=True)).exit_code == 130
    assert run.as_meant(record(2)).exit_code == 2
    run.command.total_bytes = 1
    assert run.as_meant(record(2, torn=True)).exit_code == 2


@pytest.mark.parametrize(
    ("result", "signals", "lost"),
    [
        (None, (), False),
        (record(0), (), False),
        (record(0, torn=True), (), True),
        (record(1, torn=True), (), False),
        (record(1, torn=True, repeat=2), (), True),
        (record(0, torn=True), (signal.SIGINT,), False),
    ],
)
async def test_a_line_that_never_arrived(
    result: StatusRecord | None, signals: tuple[int, ...], lost: bool
) -> None:
    run = run_of("x", *signals)
    run.result = result
    assert run.lost == lost
