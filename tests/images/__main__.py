"""Runs cases by hand, from the folder of the checkout: `tests/images/07-scratch/verify [mount]`."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import docker

from .cases import MODES, Case
from .promises import check_case


def main(script: str, *modes: str) -> int:
    """Makes the case's image, starts it in each mode and checks all that is promised of it."""
    case = Case.load(Path(script).resolve().parent)
    client = docker.from_env(version="auto")
    for mode in modes or MODES:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            check_case(case, mode, client, Path(folder))
        sys.stdout.write(f"{case.name} {mode}: good ({time.monotonic() - began:.1f} s)\n")
    client.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
