"""What goes wrong with ports that are forwarded."""

from __future__ import annotations

from .action import ActionError


class PortError(ActionError):
    """The base of what goes wrong with a forwarded or reversed port."""

    code = "port_error"
    default_hint = "Connect again; `runtime.events` tells what became of the sandbox"


class PortTaken(PortError):
    """The address is in use; `data["owner"]` says by whom, where that can be seen."""

    code = "port_taken"
    default_hint = "Choose another port, or close what has this one"


class PortUnusable(PortError):
    """The address cannot be listened on: it is not this machine's, or needs more rights."""

    code = "port_unusable"
    default_hint = "Choose an address of the machine, and a port above 1023 unless you are root"


class PortUnprotected(PortError):
    """An address that other machines reach was asked for, without a token or TLS."""

    code = "port_unprotected"
    default_hint = "Give token=True (one is made), token='...' or tls=..., or bind to loopback"


class PortRefused(PortError):
    """Nobody takes connections there, or there are too many of them."""

    code = "port_refused"
    default_hint = "Start what is to listen there, and connect again"
