"""Loaded by the client's Python while `benchmarks.stages` measures: notes what it does when.

Points are noted in memory and written when the process ends, so that noting one costs a
microsecond. Nothing of this is in the product.
"""

import asyncio
import functools
import importlib
import importlib.abc
import os
import sys
import time

POINTS = {
    "tether_runtime_client.protocol.channel": [
        ("Channel.data_received", "begin", "received"),
        ("Channel.send_text", "begin", "sends"),
    ],
    "tether_runtime_client.shell.shell_process": [("ShellProcess.send", "end", "told bash")],
    "tether_runtime_client.shell.shell": [("Shell.status_readable", "begin", "bash reported")],
}
notes: list[tuple[int, str]] = []


def note_points() -> None:
    """Wrap the functions that the points name."""
    for module, points in POINTS.items():
        for path, edge, label in points:
            owner = importlib.import_module(module)
            *classes, name = path.split(".")
            for part in classes:
                owner = getattr(owner, part)
            setattr(owner, name, _noting(getattr(owner, name), edge, label))


def _noting(function, edge, label):  # type: ignore[no-untyped-def]
    @functools.wraps(function)
    def noting(*args, **options):  # type: ignore[no-untyped-def]
        if edge == "begin":
            notes.append((time.monotonic_ns(), label))
            return function(*args, **options)
        result = function(*args, **options)
        notes.append((time.monotonic_ns(), label))
        return result

    return noting


class _AtClient(importlib.abc.MetaPathFinder):
    """Waits for the client's main module, which the supervisor never imports."""

    def find_spec(self, name, path, target=None):  # type: ignore[no-untyped-def]
        if name == "tether_runtime_client.client":
            sys.meta_path.remove(self)
            note_points()
            asyncio.run = _writing_notes(asyncio.run)


def _writing_notes(run):  # type: ignore[no-untyped-def]
    """The process leaves without looking back (`os._exit`), but not before its loop has ended."""

    def running(coroutine):  # type: ignore[no-untyped-def]
        try:
            return run(coroutine)
        finally:
            with open(f"{FILE}.client", "w") as out:
                out.writelines(f"{at} {label}\n" for at, label in notes)

    return running


FILE = os.environ.get("TETHER_BENCH_STAGES")
if FILE:
    sys.meta_path.insert(0, _AtClient())
