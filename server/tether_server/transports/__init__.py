"""Ways to a connected socket that leads to the runtime client."""

from .base import Transport
from .choice import Attempt, Choice, choose, try_all
from .exec import ExecTransport
from .netns import NetnsTransport
from .probe import NoAnswer, probe
from .tcp import TcpTransport
from .unix import UnixTransport

__all__ = [
    "Attempt",
    "Choice",
    "ExecTransport",
    "NetnsTransport",
    "NoAnswer",
    "TcpTransport",
    "Transport",
    "UnixTransport",
    "choose",
    "probe",
    "try_all",
]
