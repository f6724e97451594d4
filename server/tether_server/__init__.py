"""The server side of Tether: what runs beside the agent.

    from tether_server import EventStreamRuntime, CmdRunAction

All actions, observations, events and errors are importable from here too.
"""

from typing import TYPE_CHECKING, Any

from tether_runtime_client import protocol as _protocol
from tether_runtime_client.protocol import *  # noqa: F403

if TYPE_CHECKING:
    from .runtime import EventStreamRuntime

_LAZY = {"EventStreamRuntime": "runtime"}
__all__ = [*_protocol.__all__, *_LAZY]


def __getattr__(name: str) -> Any:
    """Import the runtime when it is asked for: whoever only reads events does not pay for it."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_LAZY[name]}", __name__), name)
