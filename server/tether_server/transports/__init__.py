"""Ways to a connected socket that leads to the runtime client."""

from .base import Transport
from .choice import COMING_BACK_S, Attempt, Choice, choose, diagnosis, try_all
from .dial import DialTransport
from .exec import ExecTransport
from .forwarding import Forwarding
from .netns import NetnsTransport
from .probe import NoAnswer, probe
from .settings import Dial, Ssh, Tcp, TransportSettings, name_of
from .ssh import SshTransport
from .tcp import TcpTransport, Tls
from .unix import UnixTransport

__all__ = [
    "COMING_BACK_S",
    "Attempt",
    "Choice",
    "Dial",
    "DialTransport",
    "ExecTransport",
    "Forwarding",
    "NetnsTransport",
    "NoAnswer",
    "Ssh",
    "SshTransport",
    "Tcp",
    "TcpTransport",
    "Tls",
    "Transport",
    "TransportSettings",
    "UnixTransport",
    "choose",
    "diagnosis",
    "name_of",
    "probe",
    "try_all",
]
