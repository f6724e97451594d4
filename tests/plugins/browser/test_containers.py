"""The places that a container can be: what of them the browser does without, and says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import docker
import pytest

from tether_image_builder import build_image
from tether_image_builder.spec import ShellStep, Spec
from tether_server import BrowseInteractiveAction, BrowseURLAction, EventStreamRuntime

from .test_sandbox import PAGE

pytestmark = [
    pytest.mark.engine,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("browser-image"),
]

FORBIDDEN = "off: user namespaces are forbidden here"
LARGE = """for (let i = 0; i < 10; i++) {
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 2000;
  canvas.getContext('2d').fillRect(0, 0, 1000, 1000);
  document.body.append(canvas);
}"""
"""Pictures of 160 MB: more than a `/dev/shm` of 64 MB would hold."""


@pytest.mark.parametrize(
    ("options", "sandbox"),
    [
        ({"user": "1234", "resources": {"read_only": True, "ipc_mode": "none"}}, FORBIDDEN),
        ({"user": "0", "resources": {"shm_size": "64m"}}, "off: Chromium has none for root"),
        ({"user": "1234", "resources": {"security_opt": ["seccomp=unconfined"]}}, "on"),
        ({"user": "1234", "network": "none", "inject": "mount"}, FORBIDDEN),
    ],
    ids=["read-only, no /dev/shm", "root", "user namespaces", "no network"],
)
async def test_it_says_how_it_runs(options: dict[str, Any], sandbox: str, busybox: str) -> None:
    async with EventStreamRuntime(busybox, plugins=["browser"], **options) as runtime:
        seen = await runtime.run(BrowseURLAction(url=PAGE))
        assert seen.text.startswith("Hé 中文")
        assert seen.missing == {}
        assert seen.browser.sandbox == sandbox
        assert ("--no-sandbox" in seen.browser.flags) is (sandbox != "on")
        steps = [{"step": "evaluate", "expression": LARGE, "timeout_s": 30}]
        large = {"steps": steps, "omit": ["text", "tree"], "screenshot": {"full_page": True}}
        seen = await runtime.run(BrowseInteractiveAction.model_validate(large))
        assert seen.screenshot is not None
        assert seen.screenshot.size > 10_000
        assert await flags_of(runtime, "zygote") is (sandbox != "on")


async def flags_of(runtime: EventStreamRuntime, kind: str) -> bool:
    """Whether Chromium's processes of a kind run without its sandbox."""
    script = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '"
    said = (await runtime.exec(["/bin/sh", "-c", script])).stdout.decode()
    assert f"--type={kind}" in said
    return "--no-sandbox" in said


@pytest.fixture
def with_chromium(debian: str) -> Iterator[str]:
    """Debian with its own Chromium, which is gone afterwards."""
    install = "apt-get update && apt-get install -y --no-install-recommends chromium"
    clean = "apt-get clean && rm -rf /var/lib/apt/lists/*"
    step = ShellStep(commands=(f"{install} && {clean}",))
    built = build_image(spec=Spec(image=debian, steps=(step,)))
    yield built.steps[0].image
    client = docker.from_env(version="auto")
    for name in (built.tag, built.steps[0].image):
        client.images.remove(name, force=True)
    client.close()


async def test_the_images_own_chromium_is_used_and_ours_is_not(with_chromium: str) -> None:
    own = {"browser": {"executable": "image"}}
    options: dict[str, Any] = {"user": "1234", "inject": "mount"}
    async with EventStreamRuntime(with_chromium, plugins=own, **options) as runtime:
        seen = await runtime.run(BrowseURLAction(url="data:text/html,<title>Own</title><p>here"))
        assert (seen.title, seen.text, seen.missing) == ("Own", "here", {})
        assert seen.browser.executable == "/usr/bin/chromium"
        assert seen.screenshot is not None
        running = (await runtime.exec(["/bin/sh", "-c", "ls -l /proc/[0-9]*/exe"])).stdout.decode()
        assert "-> /usr/lib/chromium/chromium" in running
        assert "chromium-headless-shell" not in running
