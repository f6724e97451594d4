"""Loaded by the client's Python in `benchmarks.journal`: its journal counts, and writes nothing.

Frames are made and sent as ever. Such a client could not replay anything; none of this is in the
product.
"""

import importlib.abc
import os
import sys


class _AtClient(importlib.abc.MetaPathFinder):
    """Waits for the client's main module, which the supervisor never imports."""

    def find_spec(self, name, path, target=None):  # type: ignore[no-untyped-def]
        if name == "tether_runtime_client.client":
            sys.meta_path.remove(self)
            from tether_runtime_client.journal import Journal

            Journal.append = _count


def _count(journal, line, seq, running):  # type: ignore[no-untyped-def]
    journal._current.last = seq


if os.environ.get("TETHER_BENCH_NO_JOURNAL"):
    sys.meta_path.insert(0, _AtClient())
