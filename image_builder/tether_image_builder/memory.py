"""What this machine found out and need not ask again: small facts in files, with an age."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from hashlib import sha256
from typing import Any

from .locks import cache_folder


def recall(kind: str, key: str, *, max_age_s: float | None = None) -> Any:
    """A fact as it was remembered; None where there is none, or none young enough."""
    try:
        fact = json.loads(_path(kind, key).read_bytes())
        age_s = time.time() - fact["at"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    young = max_age_s is None or 0 <= age_s < max_age_s
    return fact.get("value") if young else None


def remember(kind: str, key: str, value: Any) -> None:
    """Keeps a fact; where nothing can be written, it will be asked for again."""
    path = _path(kind, key)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "w") as file:
            json.dump({"at": time.time(), "value": value}, file)
        os.replace(name, path)


def _path(kind: str, key: str) -> Any:
    return cache_folder() / kind / f"{sha256(key.encode()).hexdigest()[:32]}.json"
