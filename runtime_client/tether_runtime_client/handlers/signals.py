"""Signals by their names."""

from __future__ import annotations

import signal

from ..protocol.errors import InvalidAction


def signal_number(name: str) -> signal.Signals:
    """Raises `InvalidAction` for a signal that there is not."""
    try:
        return signal.Signals[name]
    except KeyError:
        raise InvalidAction(
            f"there is no signal {name!r}", hint="Names are SIGINT, SIGTERM, SIGKILL and so on"
        ) from None
