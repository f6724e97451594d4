"""For plugins that start programs: whom memory's end takes first, whom it took, and environments.

A plugin's own environment is the image's, which may break the Python that the plugin runs by: what
that Python runs besides is given `hidden_environment`.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..oom_kills import OomKills, find_counter
from ..oom_score import raise_oom_score
from ..original_environment import HIDDEN

__all__ = ["HIDDEN", "OomKills", "find_counter", "hidden_environment", "raise_oom_score"]

_STARTS = ("LD_", "PYTHON", "OPENSSL_", "GLIBC_", "MALLOC_")
_NAMES = ("GCONV_PATH", "LC_ALL", "LOCPATH")


def hidden_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """As the launcher does it (docker/common/launcher.c): what would break our own Python has
    `HIDDEN` before its name, by which the program can give it its own name again.
    """
    return {
        HIDDEN + name if name.startswith(_STARTS) or name in _NAMES else name: value
        for name, value in environment.items()
    }
