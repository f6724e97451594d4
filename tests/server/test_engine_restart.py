"""An engine that is restarted and leaves its containers running (`--live-restore`)."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import docker
import pytest

from tether_image_builder import build_image
from tether_server import CmdRunAction, EventStreamRuntime, SandboxInterrupted
from tether_server.record import load_record

pytestmark = [
    pytest.mark.engine,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="an engine of its own takes root"),
    # Where it finds no engine, the SDK leaves a socket to the collector.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


class Engine:
    """A second engine with everything of its own, which knows no network."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.host = f"unix://{folder}/docker.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = ["--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"]
        places = [f"--{name}={self._folder}/{name}" for name in ("pidfile", "data-root")]
        with (self._folder / "log").open("ab") as log:
            # In a network namespace of its own: without a bridge it deletes the other one's.
            command = ["unshare", "--net", "dockerd", "--live-restore", f"--host={self.host}"]
            command += [*options, *places, f"--exec-root={self._folder}/exec"]
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        ends = time.monotonic() + 60
        while self.docker("version").returncode:
            assert time.monotonic() < ends, (self._folder / "log").read_text()[-2000:]

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)

    def docker(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["docker", "-H", self.host, *words], capture_output=True, text=True, timeout=60
        )


@pytest.fixture
def own_engine() -> Iterator[Engine]:
    folder = Path(tempfile.mkdtemp(prefix="tether-e-"))  # sockets below it have long names
    engine = Engine(folder)
    try:
        engine.start()
        yield engine
        if left := engine.docker("ps", "-aq").stdout.split():
            engine.docker("rm", "-f", "-v", *left)
    finally:
        engine.stop()
        subprocess.run(f"umount -l {folder}/exec/netns/* {folder}/*", shell=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)
        gc.collect()


async def test_its_sandboxes_go_on_and_are_reached_again(
    busybox: str,
    own_engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    image = build_image(busybox).tag
    copy = f"docker save {image} | docker -H {own_engine.host} load"
    subprocess.run(copy, shell=True, check=True, stdout=subprocess.DEVNULL)
    monkeypatch.setenv("DOCKER_HOST", own_engine.host)
    command = "for i in $(seq 1 80); do echo $i; sleep 0.1; done"
    async with AsyncExitStack() as stack:
        runtimes = [
            EventStreamRuntime(image, network="none", keep=True, transport=transport)
            for transport in ("unix", "netns", "exec")
        ]
        for runtime in runtimes:
            await stack.enter_async_context(runtime)
        running = [
            asyncio.create_task(runtime.run(CmdRunAction(command=command))) for runtime in runtimes
        ]
        await asyncio.to_thread(own_engine.stop)
        await asyncio.to_thread(own_engine.start)
        for seen in await asyncio.wait_for(asyncio.gather(*running), 60):
            assert seen.content == "".join(f"{i}\n" for i in range(1, 81))
        for runtime in runtimes:
            assert not [e for e in runtime.events.since(0) if isinstance(e, SandboxInterrupted)]
        await a_restart_after_it(runtimes[-1])
        for runtime in runtimes:
            await runtime.close(keep=False)
    caplog.clear()  # which has the problems, and with them such sockets


async def a_restart_after_it(runtime: EventStreamRuntime) -> None:
    """The engine has forgotten who was attached; the secret still arrives."""
    client = docker.from_env(version="auto")
    try:
        container = client.containers.get(load_record(runtime.name).handle["container"])
        await asyncio.to_thread(container.restart, timeout=3)
    finally:
        client.close()
    again = await asyncio.wait_for(runtime.run(CmdRunAction(command="echo again")), 60)
    assert again.content == "again\n"
