"""`tether-runtime-client stop`: end the supervisor in good order, wherever it runs.

A container's stop signal reaches its first process only. Where that is the image's own entrypoint
script and not the supervisor, this is what reaches the supervisor.
"""

from __future__ import annotations

import os
import select
import signal
import sys

from tether_runtime_client import session_registry
from tether_runtime_client.proctree import Process, read_process, send

DEFAULT_FOLDER = "/opt/tether/run/state/supervisor"
#: The supervisor's own grace period, and as long as it may take to kill what is left.
LIMIT_S = 15.0
STILL_THERE = 1


def register_self(folder: str) -> None:
    """Note this process as the supervisor. Raises OSError when the folder cannot be written."""
    os.makedirs(os.path.dirname(folder), mode=0o700, exist_ok=True)
    session_registry.clear(folder)
    session_registry.register(folder, os.getpid())


def stop(folder: str = DEFAULT_FOLDER, limit_s: float = LIMIT_S) -> int:
    """Ask the supervisor to end and wait until it has; returns the exit code."""
    for pid, started in session_registry.registered(folder).items():
        process = read_process(pid)
        if process is None or process.started != started or not process.alive:
            continue
        if not _end(process, limit_s):
            sys.stderr.write(f"the supervisor, pid {pid}, has not ended within {limit_s:g} s\n")
            return STILL_THERE
    return 0


def _end(process: Process, limit_s: float) -> bool:
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        if not send(process, signal.SIGTERM):
            return read_process(process.pid) is None
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(limit_s * 1000))
    finally:
        os.close(descriptor)
