"""Pulls, from a registry on this machine that is one page long."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import docker
import docker.errors
import pytest

from tether_image_builder import BuildProgress, BuildResult
from tether_image_builder.context import context_archive
from tether_image_builder.engine import EngineRefusal, connected

pytestmark = pytest.mark.engine

Build = Callable[..., BuildResult]
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
UNKNOWN = b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}'
LAYER = "application/vnd.docker.image.rootfs.diff.tar"


def digest_of(content: bytes) -> str:
    return f"sha256:{sha256(content).hexdigest()}"


class Registry(ThreadingHTTPServer):
    """Serves one image as `team/app`, with the tag `1`; any other name is unknown to it."""

    daemon_threads = True

    def __init__(self, platform: str) -> None:
        super().__init__(("127.0.0.1", 0), RegistryRequest)
        self.silent = threading.Event()
        layer = context_archive({"hello": b"hello" * 200_000})
        system, _, architecture = platform.partition("/")
        rootfs = {"type": "layers", "diff_ids": [digest_of(layer)]}
        config = json.dumps(
            {"os": system, "architecture": architecture, "config": {}, "rootfs": rootfs}
        ).encode()
        parts = [(CONFIG, config), (LAYER, layer)]
        described = [
            {"mediaType": kind, "size": len(part), "digest": digest_of(part)}
            for kind, part in parts
        ]
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": described[0]}
        self.manifest = json.dumps({**manifest, "layers": described[1:]}).encode()
        self.blobs = {digest_of(part): part for _, part in parts}

    @property
    def image(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}/team/app"

    def answer(self, path: str) -> tuple[str, bytes] | None:
        if path == "/v2/":
            return "application/json", b"{}"
        known = ("1", digest_of(self.manifest))
        if path in [f"/v2/team/app/manifests/{name}" for name in known]:
            return MANIFEST, self.manifest
        blob = self.blobs.get(path.removeprefix("/v2/team/app/blobs/"))
        return None if blob is None else ("application/octet-stream", blob)


class RegistryRequest(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Registry

    def do_GET(self) -> None:
        if self.server.silent.is_set():
            self.rfile.read(1)  # nothing comes until the engine goes away
            return
        answer = self.server.answer(self.path)
        kind, content = answer or ("application/json", UNKNOWN)
        self.send_response(200 if answer else 404)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Docker-Content-Digest", digest_of(content))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def registry(client: docker.DockerClient, names: list[str]) -> Iterator[Registry]:
    version = client.version()
    with Registry(f"{version['Os']}/{version['Arch']}") as registry:
        thread = threading.Thread(target=registry.serve_forever)
        thread.start()
        names.append(f"{registry.image}:1")
        yield registry
        registry.shutdown()
        thread.join()


def test_a_missing_image_is_pulled(build: Build, registry: Registry) -> None:
    steps: list[BuildProgress] = []
    result = build(f"{registry.image}:1", progress=steps.append)
    assert result.tag.startswith(f"{registry.image}_tether:")
    assert str(steps[0]) == f"pulling {registry.image}:1"
    assert build(f"{registry.image}:1").reused


def test_by_digest(client: docker.DockerClient, build: Build, registry: Registry) -> None:
    image = f"{registry.image}@{digest_of(registry.manifest)}"
    result = build(image)
    assert result.tag.startswith(f"{registry.image}_tether:")
    assert client.images.get(image).id == result.base_id
    client.images.remove(result.tag, force=True)
    client.images.remove(image)


def test_a_name_the_registry_does_not_know(client: docker.DockerClient, registry: Registry) -> None:
    with connected(client) as engine, pytest.raises(EngineRefusal, match=r"not found|unknown"):
        engine.pull(f"{registry.image}:2", lambda _: None, phase="pull")


def test_a_registry_that_says_nothing(client: docker.DockerClient, registry: Registry) -> None:
    registry.silent.set()
    with connected(client) as engine, pytest.raises(EngineRefusal, match="no answer for 1 seconds"):
        engine.pull(f"{registry.image}:1", lambda _: None, phase="pull", silence_s=1)
