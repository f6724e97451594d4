"""The second example of the README, as it stands: on this machine, and in images."""

from __future__ import annotations

import os
import re
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PROGRAM = ROOT / "examples" / "fix_a_web_app.py"
NAMES = ["shop-after.png", "shop-before.png"]
SAID = [
    "48.18 was expected, and not 48.15",
    "4,586 of 100,000 prices are wrong: 0.29 ",
    "1998.9999999999998",
    "FAILED (failures=1)",
    "-    return int(float(price) * 100)\n+    return round(float(price) * 100)\n",
    "0 of 100,000 prices are wrong",
    "48.18, as expected",
]
"""In this order: a step that is missing is missed."""


def run(folder: Path, *options: str) -> str:
    """What it says; its screenshots are in the folder, and nothing else is left of it."""
    temporary = folder / "temporary"
    temporary.mkdir()
    done = subprocess.run(
        [sys.executable, PROGRAM, "--pictures", folder / "pictures", *options],
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(temporary.iterdir()) == []
    assert sorted(os.listdir(folder / "pictures")) == NAMES
    assert all(size(folder / "pictures" / name) == (600, 330) for name in NAMES)
    return done.stdout


def size(picture: Path) -> tuple[int, int]:
    """A PNG's width and height."""
    data = picture.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def is_told(said: str) -> None:
    at = 0
    for line in SAID:
        assert line in said[at:], (line, said)
        at = said.index(line, at)


def test_it_finds_and_fixes_the_bug_on_this_machine(chromium: str, tmp_path: Path) -> None:
    source = (ROOT / "examples" / "shop" / "shop.py").read_bytes()
    said = run(tmp_path)
    is_told(said)
    [port] = {int(port) for port in re.findall(r"http://127.0.0.1:(\d+)/", said)}
    with pytest.raises(ConnectionRefusedError):  # the app has ended
        socket.create_connection(("127.0.0.1", port)).close()
    assert (ROOT / "examples" / "shop" / "shop.py").read_bytes() == source


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.xdist_group("browser-image")
@pytest.mark.parametrize("base", ["busybox", "debian"])
def test_and_in_an_image(base: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    said = run(tmp_path, "--image", request.getfixturevalue(base))
    is_told(said)
    assert "/opt/tether/bin/python3 app.py" in said


def test_the_readme_has_its_screenshots() -> None:
    readme = (ROOT / "README.md").read_text()
    for name in NAMES:
        picture = ROOT / "docs" / name
        assert f"(docs/{name})" in readme
        assert size(picture) == (600, 330)
        assert picture.stat().st_size < 50_000
