"""The server side of Tether: what runs beside the agent.

    from tether_server import EventStreamRuntime, CmdRunAction

All actions, observations, events and errors are importable from here too.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if find_spec("caribou") is None:  # one of the extra's own: the client alone was installed
    raise ImportError("what a server needs is not here: pip install 'tether-runtime[server]'")

if TYPE_CHECKING:
    from tether_runtime_client import protocol as _protocol
    from tether_runtime_client.protocol import *  # noqa: F403
    from tether_runtime_client.protocol.browser import *  # noqa: F403
    from tether_runtime_client.protocol.jupyter import *  # noqa: F403
    from tether_runtime_client.protocol.skills import *  # noqa: F403

    from .operator import OperatorRuntime
    from .ports import Forward, ForwardOptions, Reverse, ReverseOptions
    from .process import Process
    from .runtime import EventStreamRuntime
    from .skills import Skills
    from .spawn_options import SpawnOptions
    from .sync import SyncEventStreamRuntime
    from .sync_ports import SyncForward, SyncReverse
    from .sync_process import SyncProcess
    from .transfer_rules import TransferOptions
    from .transports.settings import Dial, Ssh, Tcp

    __all__ = [
        *_protocol.__all__,
        "Dial",
        "EventStreamRuntime",
        "Forward",
        "ForwardOptions",
        "OperatorRuntime",
        "Process",
        "Reverse",
        "ReverseOptions",
        "Skills",
        "SpawnOptions",
        "Ssh",
        "SyncEventStreamRuntime",
        "SyncForward",
        "SyncProcess",
        "SyncReverse",
        "Tcp",
        "TransferOptions",
    ]

_LAZY = {
    "Dial": "transports.settings",
    "EventStreamRuntime": "runtime",
    "Forward": "ports",
    "ForwardOptions": "ports",
    "OperatorRuntime": "operator",
    "Process": "process",
    "Reverse": "ports",
    "ReverseOptions": "ports",
    "Skills": "skills",
    "SpawnOptions": "spawn_options",
    "Ssh": "transports.settings",
    "SyncEventStreamRuntime": "sync",
    "SyncForward": "sync_ports",
    "SyncProcess": "sync_process",
    "SyncReverse": "sync_ports",
    "Tcp": "transports.settings",
    "TransferOptions": "transfer_rules",
}

if not TYPE_CHECKING:  # or a checker would believe in every name

    def __getattr__(name: str) -> Any:
        """Import a name when it is asked for: the `tether` command's help pays for none."""
        from importlib import import_module

        if name in _LAZY:
            return getattr(import_module(f".{_LAZY[name]}", __name__), name)
        if name.startswith("__") and name != "__all__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        protocol = import_module("tether_runtime_client.protocol")
        if name == "__all__":
            return [*protocol.__all__, *_LAZY]
        if name not in protocol.__all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(protocol, name)
