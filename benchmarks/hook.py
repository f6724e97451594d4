"""Loading a module of the benchmarks into the runtime client, which knows nothing of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def client_loads(folder: Path, **environment: str) -> Iterator[None]:
    """Local clients that are started in the block load `sitecustomize` of `folder` first."""
    paths = filter(None, [str(folder), os.environ.get("PYTHONPATH")])
    given = {**environment, "PYTHONPATH": os.pathsep.join(paths)}
    former = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in former.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
