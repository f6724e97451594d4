"""A plugin's process, made: our own Python, a socket, a pipe for what it prints, and a mark."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from ..oom_score import CHILD_OOM_SCORE
from ..processes import Process
from ..processes.launch import prepare
from ..processes.pipes import OutputPipe
from ..processes.program import DEFAULT_PATH, spawn_failed
from ..shell.family import Family
from ..shell.mark import VARIABLE
from .output import PluginOutput

_COMMAND = ("-I", "-u", "-X", "utf8", "-X", "faulthandler", "-m")
_MODULE = "tether_runtime_client.plugin_process"


@dataclass(frozen=True, slots=True)
class Spawned:
    """A process that waits for its start frame, and what tells all that comes of it."""

    process: Process
    connection: socket.socket
    family: Family
    output: PluginOutput


def spawn(output: PluginOutput) -> Spawned:
    """Start one. Raises a ProcessStartError; nothing is left behind then.

    The plugin's end of the socket is its standard input until it has read its first frame, so that
    no other descriptor need be handed on. Nothing of the image's environment may change how our own
    Python starts: the process is told it later.
    """
    family = Family()
    ours, theirs = _pair()
    with theirs:
        try:
            process = _start(theirs, output, _first_environment(family))
        except BaseException:
            ours.close()
            raise
    family.add(process.pid)
    return Spawned(process, ours, family, output)


def marked(environment: Mapping[str, str], family: Family) -> dict[str, str]:
    """The environment of what the plugin starts: where no limit can be the mark, this one is."""
    return {**environment, VARIABLE: family.mark.value}


def _first_environment(family: Family) -> dict[str, str]:
    plain = {"PATH": os.environ.get("PATH", DEFAULT_PATH), "LC_ALL": "C.UTF-8"}
    return marked(plain, family)


def _pair() -> tuple[socket.socket, socket.socket]:
    try:
        return socket.socketpair()
    except OSError as problem:
        raise spawn_failed(problem) from problem


def _start(theirs: socket.socket, output: PluginOutput, environment: dict[str, str]) -> Process:
    launch = prepare(
        [sys.executable, *_COMMAND, _MODULE],
        env=environment,
        cwd=None,
        user=None,
        umask=None,
        nice=None,
        shell=(),
    )
    try:
        read_end, write_end = os.pipe()
    except OSError as problem:
        raise spawn_failed(problem) from problem
    try:
        pid = launch.spawn((theirs.fileno(), write_end, write_end))
    except BaseException:
        os.close(read_end)
        raise
    finally:
        os.close(write_end)
    output.pipe = OutputPipe(read_end, output.write, None)
    return Process(pid, [output.pipe], None, CHILD_OOM_SCORE)
