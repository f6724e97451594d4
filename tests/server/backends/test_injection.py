"""The client in a copy of the image, or mounted into the image: the image stays the user's."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import docker
import docker.types
import pytest

from tether_image_builder import build_image, prepare_mount
from tether_image_builder.context import context_archive
from tether_server import (
    CmdRunAction,
    EventStreamRuntime,
    FileWriteAction,
    StartFailed,
    WrongArchitecture,
)

from .conftest import Find, MakeImage

pytestmark = pytest.mark.engine

WITH_ALL = """
FROM {base}
RUN mkdir /work && chown nobody /work
ENV GREETING="a \\$b" PATH=/own:/bin LD_LIBRARY_PATH=/own/lib
WORKDIR /work
USER nobody
EXPOSE 80
VOLUME /data
STOPSIGNAL SIGUSR1
HEALTHCHECK --interval=1h CMD ["true"]
LABEL mine="a label"
ENTRYPOINT ["/bin/echo", "hello"]
CMD ["you"]
"""
KEPT = ("User", "WorkingDir", "ExposedPorts", "Healthcheck", "Env")


async def output(runtime: EventStreamRuntime, command: str) -> str:
    return (await runtime.run(CmdRunAction(command=command))).content


async def test_what_the_image_says_holds(
    client: docker.DockerClient, make_image: MakeImage, busybox: str, inject: str, find: Find
) -> None:
    image = make_image(WITH_ALL.format(base=busybox))
    said = client.images.get(image).attrs["Config"]
    async with EventStreamRuntime(image, inject=inject) as runtime:
        config = find(runtime).attrs["Config"]
        for name in KEPT:
            assert config[name] == said[name], name
        assert config["Labels"]["mine"] == "a label"
        assert config["Volumes"].keys() >= said["Volumes"].keys()
        shown = await output(runtime, 'id -un; pwd; echo "$GREETING $PATH $LD_LIBRARY_PATH"')
        assert shown == "nobody\n/work\na $b /own:/bin /own/lib\n"
        done = await runtime.exec(["/bin/sh", "-c", 'echo "$GREETING $PATH $LD_LIBRARY_PATH"'])
        assert done.stdout == b"a $b /own:/bin /own/lib\n"


async def test_python_in_the_shell_is_the_image_s(make_image: MakeImage, busybox: str) -> None:
    image = make_image(
        f"FROM {busybox}\nENV PATH=/own:/bin\n"
        "RUN mkdir /own && printf '#!/bin/sh\\necho own\\n' >/own/python3 && chmod 755 /own/python3"
    )
    async with EventStreamRuntime(image, inject="mount") as runtime:
        assert await output(runtime, "python3; command -v python3") == "own\n/own/python3\n"
    async with EventStreamRuntime(busybox, inject="mount") as runtime:
        assert (await runtime.run(CmdRunAction(command="command -v python3"))).exit_code != 0


async def test_a_container_writes_below_the_prefix_alone(
    make_image: MakeImage, busybox: str, inject: str, find: Find
) -> None:
    image = make_image(f"FROM {busybox}\nRUN mkdir -p /opt /srv/work\nWORKDIR /srv/work")
    async with EventStreamRuntime(image, inject=inject) as runtime:
        await output(runtime, "echo $HOME; type ls; cd /etc; cat passwd; set -o | head")
        await runtime.exec(["true"])
        await runtime.run(CmdRunAction(command="exit 3", session="second"))
        changes = await asyncio.to_thread(find(runtime).diff) or []
        assert {change["Path"] for change in changes} <= {"/opt", "/opt/tether"}


def test_a_built_image_has_nothing_new_outside_the_prefix(
    client: docker.DockerClient, make_image: MakeImage, busybox: str
) -> None:
    base = make_image(f"FROM {busybox}")
    built = build_image(base, client=client)
    below = len(client.images.get(base).attrs["RootFS"]["Layers"])
    saved = io.BytesIO(b"".join(client.images.get(built.tag).save()))
    with tarfile.open(fileobj=saved) as archive:
        new = _layers(archive)[below:]
    assert new
    for names in new:
        assert names
        assert all(name == "opt" or name.startswith("opt/tether") for name in names)


def _layers(archive: tarfile.TarFile) -> list[set[str]]:
    """The names in each layer of a saved image, the lowest first."""

    def read(name: str) -> bytes:
        file = archive.extractfile(name)
        assert file is not None
        return file.read()

    [manifest] = json.loads(read("manifest.json"))
    found = []
    for name in manifest["Layers"]:
        with tarfile.open(fileobj=io.BytesIO(read(name))) as layer:
            found.append({member.name.rstrip("/") for member in layer})
    return found


def test_a_built_image_runs_as_it_did_before(
    client: docker.DockerClient, make_image: MakeImage, busybox: str
) -> None:
    image = make_image(WITH_ALL.format(base=busybox))
    built = build_image(image, client=client)
    assert _written(client, image) == _written(client, built.tag) == "hello you\n"


def _written(client: docker.DockerClient, image: str) -> str:
    container = client.containers.create(image)
    try:
        container.start()
        container.wait()
        return container.logs().decode()
    finally:
        container.remove(v=True)


@pytest.mark.parametrize("user", [None, "4321:4321"])
async def test_a_read_only_root_without_a_place_to_write(
    make_image: MakeImage, busybox: str, inject: str, user: str | None
) -> None:
    image = make_image(f"FROM {busybox}\nRUN rm -rf /tmp")
    options: dict[str, Any] = {"resources": {"read_only": True}, "network": "none"}
    async with EventStreamRuntime(image, inject=inject, user=user, **options) as runtime:
        seen = await runtime.run(CmdRunAction(command="x=1; echo a >/a"))
        assert "Read-only" in seen.content
        assert await output(runtime, "echo $x; seq 1 300000 | tail -n 1") == "1\n300000\n"
        whole = await runtime.run(CmdRunAction(command="seq 1 300000"))
        assert whole.truncated
        assert whole.full_output_path is not None


async def test_nothing_is_built_and_nothing_can_be_changed(
    client: docker.DockerClient, make_image: MakeImage, busybox: str, find: Find
) -> None:
    image = make_image(f"FROM {busybox}")
    async with EventStreamRuntime(image, inject="mount") as runtime:
        container = find(runtime)
        assert container.attrs["Image"] == client.images.get(image).id
        seen = await output(runtime, "touch /opt/tether/x; rm -f /opt/tether/bin/bash")
        assert seen.count("Read-only file system") == 2
        volumes = [mount["Name"] for mount in container.attrs["Mounts"] if mount.get("Name")]
    assert not client.images.list(image.replace(":", "_tether:"))
    environment = prepare_mount(image, client=client).volume
    left = {volume.name for volume in client.volumes.list()} & set(volumes)
    assert left == {environment}


async def test_an_older_client_in_the_image_is_not_in_the_way(
    make_image: MakeImage, busybox: str, inject: str
) -> None:
    image = make_image(
        f"FROM {busybox}\nRUN mkdir -p /opt/tether/bin /opt/tether/code/tether_runtime_client"
        " && echo 'raise SystemExit(9)' >/opt/tether/code/tether_runtime_client/__main__.py"
        " && ln -s /bin/false /opt/tether/bin/tether-runtime-client\n"
        'LABEL tether.entrypoint="[\\"/bin/sh\\"]" tether.cmd="null"\n'
        'ENTRYPOINT ["/opt/tether/bin/tether-runtime-client", "supervise"]'
    )
    async with EventStreamRuntime(image, inject=inject) as runtime:
        assert await output(runtime, "echo here") == "here\n"


async def test_attach_and_the_command_know_it(busybox: str) -> None:
    async with EventStreamRuntime(busybox, inject="mount", keep=True) as first:
        await first.run(CmdRunAction(command="x=kept"))
    listed = await asyncio.to_thread(_tether, "ps", "--json")
    assert first.name in listed
    assert busybox in listed
    async with EventStreamRuntime.attach(first.name) as second:
        assert await output(second, "echo $x") == "kept\n"
    await asyncio.to_thread(_tether, "rm", first.name)
    assert first.name not in await asyncio.to_thread(_tether, "ps", "--json")


def _tether(*words: str) -> str:
    command = [sys.executable, "-m", "tether_server.cli", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_on_the_command_line(make_image: MakeImage, busybox: str) -> None:
    image = make_image(
        f'FROM {busybox}\nENTRYPOINT ["sh", "-c", "export X=through; exec \\"$0\\" \\"$@\\""]'
    )
    ways = ["--inject", "mount", "--entrypoint", "through"]
    assert _tether("run", "-q", *ways, image, "--", "sh", "-c", "echo $X") == "through\n"


@pytest.fixture
def foreign(client: docker.DockerClient, inject: str) -> Iterator[str]:
    """An image without files for another kind of machine, as `docker save` writes one."""
    name = f"tether-test/foreign-{inject}:{os.getpid()}"
    layer = context_archive({})
    digests = {"type": "layers", "diff_ids": [f"sha256:{sha256(layer).hexdigest()}"]}
    config = {"architecture": "s390x", "os": "linux", "config": {"Cmd": ["x"]}, "rootfs": digests}
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    files = {"manifest.json": json.dumps(manifest), "config.json": json.dumps(config)}
    saved = {name: text.encode() for name, text in files.items()}
    client.images.load(context_archive({**saved, "layer.tar": layer}))
    yield name
    client.images.remove(name)


async def test_an_image_for_another_machine(foreign: str, inject: str) -> None:
    with pytest.raises(WrongArchitecture, match="s390x"):
        await EventStreamRuntime(foreign, inject=inject).start()


@pytest.fixture
def noexec_programs(client: docker.DockerClient, busybox: str, tmp_path: Path) -> Iterator[Path]:
    """The environment's programs on a file system that is mounted noexec."""
    folder = tmp_path / "bin"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", folder], check=True)
    volume = prepare_mount(busybox, client=client).volume
    source = Path(client.volumes.get(volume).attrs["Mountpoint"]) / "bin"
    subprocess.run(["cp", "-a", f"{source}/.", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize("entrypoint", ["skip", "through"])
async def test_a_client_that_may_not_be_executed(
    make_image: MakeImage, busybox: str, noexec_programs: Path, entrypoint: str
) -> None:
    """This engine executes from a read-only mount of a noexec file system, others do not."""
    image = make_image(f'FROM {busybox}\nENTRYPOINT ["sh", "-c", "exec \\"$0\\" \\"$@\\""]')
    mounts = [f"{noexec_programs}:/opt/tether/bin"]
    runtime = EventStreamRuntime(image, inject="mount", entrypoint=entrypoint, mounts=mounts)
    with pytest.raises(StartFailed) as caught:
        await runtime.start()
    assert "noexec" in caught.value.hint
    assert "inject='build'" in caught.value.hint


async def test_a_user_who_may_not_go_there(make_image: MakeImage, busybox: str) -> None:
    image = make_image(f"FROM {busybox}\nRUN mkdir -m 700 /opt\nUSER nobody")
    with pytest.raises(StartFailed) as caught:
        await EventStreamRuntime(image, inject="mount").start()
    assert "may not go into a folder" in caught.value.hint


async def test_a_user_with_a_home_that_is_not_there_can_upload(busybox: str, inject: str) -> None:
    async with EventStreamRuntime(busybox, inject=inject, user="1234") as runtime:
        await runtime.run(FileWriteAction(path="/tmp/a", content="text"))
        assert await output(runtime, "cat /tmp/a; id -u") == "text1234\n"
