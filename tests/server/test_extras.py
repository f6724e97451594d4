"""What was not installed is named, with the extra that has it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tether_server import EventStreamRuntime, StartFailed


@pytest.mark.parametrize(
    ("package", "lacks"), [("tether_server", "caribou"), ("tether_image_builder", "click")]
)
def test_the_client_alone_was_installed(package: str, lacks: str) -> None:
    script = f"import sys; sys.modules[{lacks!r}] = None; import {package}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("is not here: pip install 'tether-runtime[server]'")


async def test_the_server_alone_was_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyte", None)
    with pytest.raises(StartFailed, match="needs what is not installed here: pyte") as caught:
        await EventStreamRuntime(backend="local").start()
    assert caught.value.hint == "pip install 'tether-runtime[server,sandbox]'"
