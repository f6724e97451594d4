"""The environment as the image meant it.

The launcher hides variables that would break our own Python (`LD_*`, `PYTHON*`, …) under a prefix.
Programs of the image get them back under their own names.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

HIDDEN = "TETHER_ENV_"


def original_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """A copy in which every hidden variable has its own name again."""
    return {name.removeprefix(HIDDEN): value for name, value in environment.items()}
