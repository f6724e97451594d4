"""The client's side of plugins: their processes, and what is asked of and told by them.

Nothing here is imported before a plugin is asked for something, or about.
"""

from .plugins import Plugins
from .surroundings import Surroundings

__all__ = ["Plugins", "Surroundings"]
