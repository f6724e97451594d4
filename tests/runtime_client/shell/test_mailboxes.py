"""Where a shell leaves its exported variables: the last report that is whole counts."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator

import pytest

from tether_runtime_client.shell.mailboxes import Mailboxes
from tether_runtime_client.shell.reports import NO_MAILBOX, ReportTo


@pytest.fixture
def mailboxes() -> Iterator[Mailboxes]:
    mailboxes = Mailboxes()
    yield mailboxes
    mailboxes.close()


def begin(mailboxes: Mailboxes, nonce: bytes) -> ReportTo:
    return ReportTo(nonce, mailboxes.next_for("true"), asked=mailboxes.asked)


def write(mailboxes: Mailboxes, to: ReportTo, value: str, names: bytes = b"") -> None:
    text = b'declare -x A="%s"\n%s\n%s%s\n' % (value.encode(), to.nonce, names, to.nonce)
    os.write(mailboxes.fds[to.mailbox], text)


def report(mailboxes: Mailboxes, nonce: bytes, value: str, names: bytes = b"") -> ReportTo:
    to = begin(mailboxes, nonce)
    write(mailboxes, to, value, names)
    mailboxes.reported(to, os.getpid())
    return to


def test_before_the_first_report(mailboxes: Mailboxes) -> None:
    assert mailboxes.settled
    assert mailboxes.exports() is None


def test_each_report_has_the_other_one(mailboxes: Mailboxes) -> None:
    places = []
    for number in range(5):
        places.append(report(mailboxes, b"n%d" % number, "long" * (5 - number)).mailbox)
        assert mailboxes.exports() == {"A": "long" * (5 - number)}
        assert mailboxes.settled
    assert places == [0, 1, 0, 1, 0]


def test_the_one_before_holds_until_a_report_is_whole(mailboxes: Mailboxes) -> None:
    report(mailboxes, b"first", "1")
    to = begin(mailboxes, b"second")
    mailboxes.reported(to, os.getpid())
    os.write(mailboxes.fds[to.mailbox], b'declare -x A="2"\nsec')
    assert not mailboxes.settled
    assert mailboxes.exports() == {"A": "1"}
    os.write(mailboxes.fds[to.mailbox], b"ond\n\nsecond\n")
    assert mailboxes.settled
    assert mailboxes.exports() == {"A": "2"}


def test_what_was_asked_for_and_not_sent_changes_nothing(mailboxes: Mailboxes) -> None:
    report(mailboxes, b"first", "1")
    report(mailboxes, b"second", "2")
    assert mailboxes.next_for("true") == mailboxes.next_for("true") == 0
    assert mailboxes.exports() == {"A": "2"}


@pytest.mark.parametrize("text", ["ulimit -f 1", "x; ulimit -S -f 0", "ulimit 10", "ulimit -Hf 1"])
def test_none_where_files_may_be_limited(mailboxes: Mailboxes, text: str) -> None:
    assert mailboxes.next_for(text) == NO_MAILBOX


@pytest.mark.parametrize("text", ["ulimit -n 10", "ulimit", "echo ulimits 1"])
def test_one_where_something_else_is(mailboxes: Mailboxes, text: str) -> None:
    assert mailboxes.next_for(text) == 0


def test_none_while_files_are_limited(mailboxes: Mailboxes) -> None:
    """They are looked at when a command without one has ended."""
    report(mailboxes, b"first", "1")
    with subprocess.Popen(["sleep", "60"]) as process:
        limits = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1024, limits[1]))
        mailboxes.reported(ReportTo(b"second", NO_MAILBOX), process.pid)
        assert mailboxes.next_for("true") == NO_MAILBOX
        assert mailboxes.exports() == {"A": "1"}
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, limits)
        mailboxes.reported(ReportTo(b"third", NO_MAILBOX), process.pid)
        assert mailboxes.next_for("true") == 1
        process.kill()


def test_what_is_run_as_a_program(mailboxes: Mailboxes) -> None:
    names = ("cp", "ls", "l", "cat")
    assert not mailboxes.is_program("ls")  # nothing is known yet
    report(mailboxes, b"first", "1")
    assert [name for name in names if mailboxes.is_program(name)] == []  # they are asked for now
    report(mailboxes, b"second", "1", b"cp\nalias ls='ls -l'\n")
    assert [name for name in names if mailboxes.is_program(name)] == ["l", "cat"]
    report(mailboxes, b"third", "1")
    assert [name for name in names if mailboxes.is_program(name)] == list(names)
    report(mailboxes, b"fourth", "1", b"trap -- 'cd /' SIGUSR1\n")
    assert [name for name in names if mailboxes.is_program(name)] == []


def test_the_latest_names_are_asked_for(mailboxes: Mailboxes) -> None:
    report(mailboxes, b"first", "1")
    for number in range(30):
        mailboxes.is_program(f"p{number}")
    assert mailboxes.asked == tuple(b"p%d" % number for number in range(14, 30))


def test_what_is_not_here_yet_is_not_known(mailboxes: Mailboxes) -> None:
    report(mailboxes, b"first", "1")
    mailboxes.is_program("ls")
    to = begin(mailboxes, b"second")
    mailboxes.reported(to, os.getpid())
    assert not mailboxes.is_program("ls")
    write(mailboxes, to, "2")
    assert mailboxes.is_program("ls")
