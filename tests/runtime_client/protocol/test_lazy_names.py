"""Names of built-in plugins are in the protocol, and cost nothing until they are asked for."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from tether_runtime_client import protocol
from tether_runtime_client.protocol.lazy_names import NAMES


@pytest.mark.parametrize("module", NAMES)
def test_what_a_module_offers_is_what_is_listed(module: str) -> None:
    there = import_module(f"tether_runtime_client.protocol.{module}")
    assert sorted(NAMES[module]) == sorted(there.__all__)
    for name in NAMES[module]:
        assert getattr(protocol, name) is getattr(there, name)
        assert name in protocol.__all__


def test_the_client_imports_none_of_them() -> None:
    modules = ", ".join(repr(f"tether_runtime_client.protocol.{name}") for name in NAMES)
    program = (
        "import sys, tether_runtime_client.client, tether_runtime_client.handlers.register;"
        f"sys.exit(', '.join({{{modules}}} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_name_that_nobody_has_is_an_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = protocol.Nothing  # type: ignore[attr-defined]
