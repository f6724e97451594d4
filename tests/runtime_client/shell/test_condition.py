"""What the kernel tells of a process: a real bash, whose standard streams are the test's."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tether_runtime_client.shell.condition import Condition

from .conftest import BASH


class Subject:
    """A bash that reads the test's lines, and its condition."""

    def __init__(self, folder: Path) -> None:
        self.lines, channel = socket.socketpair()
        self.reports, out = socket.socketpair()
        self.process = subprocess.Popen([BASH, "--norc"], stdin=channel, stdout=out, cwd=folder)
        inodes = os.fstat(channel.fileno()).st_ino, os.fstat(out.fileno()).st_ino
        self.condition = Condition(self.process.pid, *inodes)
        channel.close()
        out.close()

    def ask(self, line: str) -> str:
        """What the line makes it write."""
        self.lines.sendall(line.encode() + b"\n")
        return self.reports.recv(1000).decode()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.lines.close()
        self.reports.close()


@pytest.fixture
def subject(tmp_path: Path) -> Iterator[Subject]:
    subject = Subject(tmp_path)
    yield subject
    subject.close()


def until(seen: Callable[[], bool]) -> bool:
    """Whether it comes to be seen."""
    deadline = time.monotonic() + 20
    while not seen() and time.monotonic() < deadline:
        time.sleep(0.01)
    return seen()


def test_between_commands_and_amid_one(subject: Subject) -> None:
    assert subject.ask("echo here") == "here\n"
    condition = subject.condition
    assert until(condition.sleeps_between_commands)
    assert condition.sleeps_in_report()
    subject.ask("mkfifo pipe; { echo begun >&9; read -r; } 9>&1 0<>pipe >/dev/null")
    assert until(condition.sleeps)
    assert not condition.is_between_commands()
    assert not condition.sleeps_between_commands()
    assert not condition.sleeps_in_report()


def test_replaced_by_another_program(subject: Subject) -> None:
    condition = subject.condition
    assert not condition.is_replaced()
    subject.ask("echo here")
    condition.note_image()
    assert not condition.is_replaced()
    subject.lines.sendall(b"exec sleep 60\n")
    assert until(condition.is_replaced)


def test_too_few_files_to_go_on(subject: Subject) -> None:
    assert not subject.condition.cannot_redirect()
    hard = resource.prlimit(subject.process.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(subject.process.pid, resource.RLIMIT_NOFILE, (2, hard))
    assert subject.condition.cannot_redirect()


def test_the_directory_is_where_it_is(subject: Subject, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    subject.ask("cd link; echo there")
    link = str(tmp_path / "link")
    true_cwd = subject.condition.true_cwd
    assert true_cwd(link, "/before") == link
    assert true_cwd("/usr", "/before") == str(tmp_path / "real")
    assert true_cwd("real", "/before") == str(tmp_path / "real")
    assert true_cwd("/before", "/before") == "/before"
    (tmp_path / "real").rmdir()
    assert true_cwd(link, "/before") == str(tmp_path / "real")


def test_a_process_that_is_gone(subject: Subject) -> None:
    subject.condition.note_image()
    subject.close()
    condition = subject.condition
    assert not condition.sleeps()
    assert not condition.is_between_commands()
    assert not condition.is_replaced()
    assert not condition.cannot_redirect()
    assert condition.true_cwd("/new", "/before") == "/new"
    assert condition.true_cwd("", "/before") == "/before"
