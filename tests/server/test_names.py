"""What `tether_server` offers, and that it costs nothing until it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import tether_server
from tether_runtime_client import protocol


def test_every_name_is_there() -> None:
    offered = set(tether_server.__all__)
    own = {
        "Dial",
        "EventStreamRuntime",
        "Forward",
        "ForwardOptions",
        "OperatorRuntime",
        "Process",
        "Reverse",
        "ReverseOptions",
        "Skills",
        "SpawnOptions",
        "Ssh",
        "SyncEventStreamRuntime",
        "SyncForward",
        "SyncProcess",
        "SyncReverse",
        "Tcp",
        "TransferOptions",
    }
    assert offered == {*protocol.__all__, *own}
    assert all(getattr(tether_server, name) is not None for name in offered)


def test_a_star_import_brings_them() -> None:
    names: dict[str, object] = {}
    exec("from tether_server import *", names)
    assert set(tether_server.__all__) <= set(names)


@pytest.mark.parametrize("name", ["nothing", "__nothing__"])
def test_no_other_name_is(name: str) -> None:
    with pytest.raises(AttributeError, match=name):
        getattr(tether_server, name)


def test_importing_the_package_imports_nothing_heavy() -> None:
    script = (
        "import sys, tether_server; print([m for m in ('pydantic', 'asyncio') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout == b"[]\n"
