"""Ways to a connected socket that leads to the runtime client."""

from .base import Transport
from .exec import ExecTransport
from .tcp import TcpTransport
from .unix import UnixTransport

__all__ = ["ExecTransport", "TcpTransport", "Transport", "UnixTransport"]
