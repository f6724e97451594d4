"""Runs cases by hand, from the folder of the checkout: `tests/images/07-scratch/verify [mount]`."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import docker

from .cases import MODES, Case, image_of, no_built_images_left
from .promises import check_common, clean_stop


def main(script: str, *modes: str) -> int:
    """Makes the case's image, starts it in each mode and checks all that is promised of it."""
    case = Case.load(Path(script).resolve().parent)
    client = docker.from_env(version="auto")
    image = image_of(case, client)
    for mode in modes or MODES:
        began = time.monotonic()
        runtime = case.runtime(image, mode)
        with (
            no_built_images_left(client, image, mode),
            tempfile.TemporaryDirectory() as folder,
            clean_stop(runtime, client),
        ):
            check_common(runtime, case.options.check, Path(folder))
            case.verify(runtime)
        sys.stdout.write(f"{case.name} {mode}: good ({time.monotonic() - began:.1f} s)\n")
    client.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
