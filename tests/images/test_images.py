"""Every image of the cases, on a real engine, in each way to put the client into it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import docker
import pytest

from tether_server import (
    BuildFailed,
    CmdRunAction,
    StartFailed,
    SyncEventStreamRuntime,
    WrongArchitecture,
)

from .archives import for_architecture, with_layers
from .cases import MODES, Case, CheckOptions, image_of, load_cases, no_built_images_left
from .promises import check_case, check_common, clean_stop

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]  # the first makes images, too

ROOT = Path(__file__).parents[2]
CASES = load_cases()
MOST_LAYERS = 125
MOUNTED = (
    "03-trixie",
    "05-busybox",
    "07-scratch",
    "12-entrypoint-exports",
    "13-entrypoint-stays",
    "17-read-only",
    "18-noexec",
)
"""Those in which a mount is another thing than a build, and a few. The rest are for `make images`
and `make test-slow`.
"""
ALIKE = ("04-sid", "08-empty-libc", "09-read-only-home", "11-uid-1000-taken", "24-bashrc")
"""Those that differ little, here, from others: they are left to the same two."""


@pytest.fixture(scope="module")
def client(engine: str) -> Iterator[docker.DockerClient]:
    client = docker.from_env(version="auto")
    yield client
    client.close()


def put_in(case: Case, mode: str) -> Any:
    is_slow = case.name in ALIKE or (mode == "mount" and case.name not in MOUNTED)
    marks = pytest.mark.slow if is_slow else ()
    return pytest.param(case, mode, id=f"{case.name}-{mode}", marks=marks)


@pytest.mark.parametrize(("case", "mode"), [put_in(*each) for each in product(CASES, MODES)])
def test_image(case: Case, mode: str, client: docker.DockerClient, tmp_path: Path) -> None:
    check_case(case, mode, client, tmp_path)


@pytest.mark.parametrize("mode", MODES)
def test_an_entrypoint_that_stays_cannot_be_gone_through(
    mode: str, client: docker.DockerClient
) -> None:
    """Which is told, with what to do; the case itself runs it beside the client."""
    [case] = [case for case in CASES if case.name == "13-entrypoint-stays"]
    image = image_of(case, client)
    with no_built_images_left(client, image, mode):
        with pytest.raises(StartFailed, match="did not run its arguments") as caught:
            SyncEventStreamRuntime(
                image, inject=mode, entrypoint="through", start_timeout_s=5
            ).start()
        assert "entrypoint='beside'" in caught.value.hint
        with SyncEventStreamRuntime(image, inject=mode, entrypoint="skip") as runtime:
            assert runtime.run(CmdRunAction(command="ls -d /tmp/ready")).exit_code == 2


@pytest.mark.parametrize("mode", MODES)
def test_an_image_for_another_architecture_is_refused(
    mode: str, client: docker.DockerClient, busybox: str
) -> None:
    name = f"tether-test/case-architecture:{mode}"
    for_architecture(client, busybox, "s390x", name)
    try:
        with pytest.raises(WrongArchitecture, match="s390x") as caught:
            SyncEventStreamRuntime(name, inject=mode).start()
        assert caught.value.hint
    finally:
        client.images.remove(name)


def test_no_layer_can_be_added_to_the_most_that_there_can_be(
    client: docker.DockerClient, busybox: str, tmp_path: Path
) -> None:
    image = with_layers(client, busybox, MOST_LAYERS)
    with pytest.raises(BuildFailed, match="as many layers") as caught:
        SyncEventStreamRuntime(image, inject="build").start()
    assert "inject='mount'" in caught.value.hint
    runtime = SyncEventStreamRuntime(image, inject="mount")
    with clean_stop(runtime, client):
        check_common(runtime, CheckOptions(shell="bundled"), tmp_path)


def test_the_documents_have_every_case() -> None:
    page = (ROOT / "docs" / "images.md").read_text()
    rows = re.findall(r"^\| \[(\d\d-[^]]+)\]\(\S+\) \| (.*) \|$", page, re.MULTILINE)
    assert rows == [(case.name, case.promise) for case in CASES]


def test_a_case_runs_by_hand(engine: str) -> None:
    scripts = [case.folder / "verify" for case in CASES]
    shebangs = {script.read_text().partition("\n")[0] for script in scripts}
    assert shebangs == {"#!/usr/bin/env -S .venv/bin/python -m tests.images"}
    assert all(os.access(script, os.X_OK) for script in scripts)
    command = [sys.executable, "-m", "tests.images", scripts[-1], "mount"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{CASES[-1].name} mount: good (")
