"""Ports inside: connecting to them, and listening for those of the server's side."""

from .inside import Inside
from .leases import ForwardLease
from .listening import Listening, ReverseLease

__all__ = ["ForwardLease", "Inside", "Listening", "ReverseLease"]
