"""Requests as the client makes them, with what a test does not care about filled in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

DEFAULTS: dict[str, dict[str, Any]] = {
    "find": {
        "globs": (),
        "exclude": (),
        "types": (),
        "min_size": None,
        "max_size": None,
        "modified_after": None,
        "modified_before": None,
        "min_depth": 1,
        "max_depth": None,
        "ignore": True,
        "offset": 0,
        "limit": 1_000,
    },
    "grep": {
        "fixed": False,
        "ignore_case": False,
        "globs": (),
        "exclude": (),
        "ignore": True,
        "before": 0,
        "after": 0,
        "files_only": False,
        "offset": 0,
        "limit": 1_000,
        "program": None,
        "environment": dict(os.environ),
    },
    "usage": {"depth": 1, "limit": 100, "exclude": (), "one_file_system": False},
}


def wanted(kind: str, path: Path | str, **fields: Any) -> dict[str, Any]:
    return {**DEFAULTS[kind], "path": str(path), **fields}


def ask(kind: str, path: Path | str, timeout_s: float | None = 30, **fields: Any) -> dict[str, Any]:
    """The answer of a process of its own."""
    request = {"kind": kind, "timeout_s": timeout_s, "wanted": wanted(kind, path, **fields)}
    done = subprocess.run(
        [sys.executable, "-I", "-m", "tether_runtime_client.search"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
