"""A stranger's plugin in images of every kind, with no change in our packages.

What `docs/plugins.md` shows is run by `tests/test_docs.py`: the plugin's own tests, and its use in
Debian.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .installed import install

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "examples" / "plugin-preview"
PROGRAM = """
import sys
from urllib.request import urlopen

from tether_preview.messages import BrokenLink, BrokenLinkFound, PageObservation, ShowAction

from tether_server import CmdRunAction, SyncEventStreamRuntime

image, folder, inject = sys.argv[1:]
with SyncEventStreamRuntime(
    image,
    inject=inject,
    plugins={"agent_skills": {}, "preview": {"title": "Notes"}},
    plugin_packages=[folder],
    env={"LD_PRELOAD": "/nowhere.so", "PYTHONHOME": "/nowhere"},
) as runtime:
    runtime.run(CmdRunAction(command="cd /dev/shm; echo '# Plan *one* [n](n.md)' > plan.md"))
    page = runtime.run(ShowAction(path="plan.md"))
    assert isinstance(page, PageObservation)
    assert page.broken_links == (BrokenLink(line=1, target="n.md"),)
    [told] = [event for event in runtime.events.since(0) if isinstance(event, BrokenLinkFound)]
    assert told.path == "/dev/shm/plan.md"
    with urlopen(f"{runtime.forward('preview.pages')}{page.url}") as shown:
        assert b"<h1>Plan <em>one</em>" in shown.read()
    called = runtime.run(CmdRunAction(command="skill check-links plan.md 2>/dev/null"))
    assert (called.exit_code, called.content) == (0, '[\\n  "plan.md:1: n.md"\\n]\\n')
    [plugin] = [one for one in runtime.plugins(health=True) if one.name == "preview"]
    assert (plugin.state, plugin.problem) == ("running", None)
"""

slow = pytest.mark.slow


@pytest.mark.engine
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("image", "inject"),
    [
        ("busybox", "build"),
        pytest.param("busybox", "mount", marks=slow),
        pytest.param("musl", "build", marks=slow),
        pytest.param("debian:bullseye", "build", marks=slow),
    ],
)
def test_the_plugin_works_in_an_image(image: str, inject: str, engine: str, tmp_path: Path) -> None:
    install(EXAMPLE, tmp_path / "site")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    made = subprocess.run(
        [ROOT / "docker/images/make-image", "--print-tag", image],
        check=True,
        capture_output=True,
        text=True,
    )
    done = subprocess.run(
        [sys.executable, program, made.stdout.strip(), str(EXAMPLE), inject],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
