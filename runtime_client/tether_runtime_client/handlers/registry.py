"""Telling the supervisor which process sessions are ours, as far as the disk allows it."""

from __future__ import annotations

import logging

from .. import session_registry

log = logging.getLogger(__name__)


def note(registry: str, pid: int) -> None:
    """Register a session leader that was not collected yet."""
    try:
        session_registry.register(registry, pid)
    except OSError as problem:  # a full disk; the supervisor still finds it as a descendant
        log.warning("process %s is not registered: %s", pid, problem)


def forget(registry: str, pid: int) -> None:
    """The session is over. One that is not registered is fine."""
    try:
        session_registry.unregister(registry, pid)
    except OSError as problem:  # its start time keeps a later process with that pid from harm
        log.warning("process %s stays registered: %s", pid, problem)
