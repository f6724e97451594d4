"""Ports of a sandbox reachable here, and ports of here reachable in the sandbox."""

from .forward import Forward
from .mappings import Ports
from .options import ForwardOptions, ReverseOptions
from .reverse import Reverse

__all__ = ["Forward", "ForwardOptions", "Ports", "Reverse", "ReverseOptions"]
