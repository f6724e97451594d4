"""What the shell is offered while somebody types the name of an image."""

from __future__ import annotations

import re
from contextlib import suppress

from .names import FINGERPRINT_DIGITS

PATIENCE_S = 2
"""Whoever pressed Tab waits for it."""

_MADE_HERE = re.compile(rf".*tether.*:[0-9a-f]{{{FINGERPRINT_DIGITS}}}")


def image_names(beginning: str) -> list[str]:
    """What images that are here are called, but for those made here; none without an engine."""
    from .engine import connected
    from .errors import TetherError

    with suppress(TetherError), connected(None, timeout_s=PATIENCE_S) as engine:
        names = [name for found in engine.api.images() for name in found["RepoTags"] or ()]
        return sorted(
            name for name in names if name.startswith(beginning) and not _MADE_HERE.fullmatch(name)
        )
    return []
