"""Images that no Dockerfile can make here: the archive of one, changed and loaded again."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import docker

Change = Callable[[dict[str, Any], list[bytes]], None]


def with_layers(client: docker.DockerClient, image: str, total: int) -> str:
    """What `image` is with small layers on top, `total` in all; kept, as it takes 15 s to make."""
    name = f"tether-test/layers:{total}"
    below = _layer_ids(client, image)
    if client.images.list(name) and _layer_ids(client, name)[: len(below)] == below:
        return name

    def change(config: dict[str, Any], layers: list[bytes]) -> None:
        for number in range(len(layers), total):
            layer = _layer(f"layers/{number}", str(number).encode())
            layers.append(layer)
            config["rootfs"]["diff_ids"].append(f"sha256:{sha256(layer).hexdigest()}")
        config.pop("history", None)  # it counts the layers

    _change(client, image, name, change)
    return name


def for_architecture(client: docker.DockerClient, image: str, architecture: str, name: str) -> None:
    """Names `name` what `image` is with another architecture in its description."""

    def change(config: dict[str, Any], layers: list[bytes]) -> None:
        config["architecture"] = architecture

    _change(client, image, name, change)


def _layer_ids(client: docker.DockerClient, image: str) -> list[str]:
    return list(client.images.get(image).attrs["RootFS"]["Layers"])


def _change(client: docker.DockerClient, image: str, name: str, change: Change) -> None:
    saved = io.BytesIO(b"".join(client.images.get(image).save()))
    with tarfile.open(fileobj=saved) as archive:
        [manifest] = json.loads(_content(archive, "manifest.json"))
        config = json.loads(_content(archive, manifest["Config"]))
        layers = [_content(archive, layer) for layer in manifest["Layers"]]
    change(config, layers)
    client.images.load(_archive(config, layers, name))


def _content(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


def _archive(config: dict[str, Any], layers: list[bytes], name: str) -> bytes:
    files = {f"{number}.tar": layer for number, layer in enumerate(layers)}
    manifest = {"Config": "config.json", "RepoTags": [name], "Layers": list(files)}
    return _tar(
        {
            **files,
            "config.json": json.dumps(config).encode(),
            "manifest.json": json.dumps([manifest]).encode(),
        }
    )


def _layer(name: str, content: bytes) -> bytes:
    return _tar({name: content})


def _tar(files: dict[str, bytes]) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return output.getvalue()
