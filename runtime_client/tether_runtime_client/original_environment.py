"""The environment as the image meant it.

The launcher hides variables that would break our own Python (`LD_*`, `PYTHON*`, …) under a prefix.
Programs of the image get them back under their own names, and nothing of what the launcher sets
for our Python.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

HIDDEN = "TETHER_ENV_"
"""Before the name of a hidden variable; by itself it holds the names of the launcher's own ones."""


def original_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """A copy without the launcher's own variables, in which every hidden one has its name again."""
    own = (HIDDEN, *environment.get(HIDDEN, "").split())
    return {
        name.removeprefix(HIDDEN): value for name, value in environment.items() if name not in own
    }
