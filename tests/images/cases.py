"""A case: a folder with a Dockerfile, perhaps options, and `verify`, which says what it is for."""

from __future__ import annotations

import ast
import fcntl
import os
import re
import runpy
import subprocess
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import docker
import docker.errors
from pydantic import BaseModel, ConfigDict, Field

from tether_image_builder import build_image, recipes
from tether_server import SyncEventStreamRuntime

from .archives import with_layers

HERE = Path(__file__).parent
MAKE_IMAGE = HERE.parents[1] / "docker" / "images" / "make-image"
PLAIN = "tether-test/debian:bookworm"
KEY_LABEL = "tether.test.key"
BASE = re.compile(r"tether-test/([a-z]+(?::\w+)?)")
MODES = ("build", "mount")


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ImageOptions(_Table):
    """How the image is made, beside its Dockerfile."""

    tag: str = ""
    older_client: bool = False


class CheckOptions(_Table):
    """What the common checks need to know of the image; `README.md` says it in full."""

    folder: str = "/tmp"
    program: tuple[str, ...] = ("true",)
    shell: Literal["own", "bundled"] = "own"
    exports: tuple[str, ...] = ()


class Options(_Table):
    """The file `options.toml`; `runtime` is given to the runtime as it is."""

    image: ImageOptions = ImageOptions()
    check: CheckOptions = CheckOptions()
    runtime: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """One folder."""

    folder: Path
    options: Options

    @classmethod
    def load(cls, folder: Path) -> Case:
        """Reads the folder."""
        file = folder / "options.toml"
        return cls(
            folder, Options(**tomllib.loads(file.read_text())) if file.exists() else Options()
        )

    @property
    def name(self) -> str:
        """The folder's name, `NN-what-it-is`."""
        return self.folder.name

    @property
    def promise(self) -> str:
        """What the image is, and what holds in it: the first lines of `verify`."""
        return ast.get_docstring(ast.parse((self.folder / "verify").read_text())) or ""

    @property
    def verify(self) -> Callable[[SyncEventStreamRuntime], None]:
        """The case's own checks of a runtime that was started with its image and options."""
        function: Callable[[SyncEventStreamRuntime], None] = runpy.run_path(
            str(self.folder / "verify")
        )["verify"]
        return function

    @property
    def dockerfile(self) -> str:
        """What makes the image."""
        return (self.folder / "Dockerfile").read_text()

    @property
    def tag(self) -> str:
        """What the image is called. The plain Debian serves as it is, for it is much used."""
        if self.dockerfile == f"FROM {PLAIN}\n":
            return PLAIN
        return self.options.image.tag or f"tether-test/case-{self.name}:latest"

    def runtime(self, image: str, mode: str) -> SyncEventStreamRuntime:
        """A runtime with the case's options, not started yet."""
        return SyncEventStreamRuntime(image, inject=mode, **self.options.runtime)


def load_cases() -> list[Case]:
    """All cases, in the order of their numbers."""
    return [Case.load(path.parent) for path in sorted(HERE.glob("[0-9][0-9]-*/verify"))]


def image_of(case: Case, client: docker.DockerClient) -> str:
    """Makes the case's image, unless it is there as it would be made; it is kept for the next run.

    Processes that want it at the same time wait for the first of them.
    """
    with locked(case.name):
        bases = BASE.findall(case.dockerfile)
        for base in sorted(set(bases)):
            make_base(client, base)
        if case.tag == PLAIN:
            return PLAIN
        key = content_key(client, case, bases)
        old = client.images.list(case.tag)
        if not old or old[0].labels.get(KEY_LABEL) != key:
            _make(client, case, key)
            _remove(client, old)
    return case.tag


@contextmanager
def locked(name: str) -> Iterator[None]:
    """One at a time, on this machine."""
    path = Path(tempfile.gettempdir()) / f"tether-test-{os.getuid()}-{name}.lock"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def content_key(client: docker.DockerClient, case: Case, bases: list[str]) -> str:
    """Another one where the image would become another."""
    parts = [str(client.images.get(f"tether-test/{base}").id).encode() for base in bases]
    parts += [path.read_bytes() for path in sorted(case.folder.iterdir()) if path.name != "verify"]
    return sha256(b"\0".join(parts)).hexdigest()


def _make(client: docker.DockerClient, case: Case, key: str) -> None:
    # Also the label makes an image that is nothing but its base another one.
    labels = {KEY_LABEL: key}
    client.images.build(path=str(case.folder), tag=case.tag, labels=labels, rm=True, forcerm=True)
    if case.options.image.older_client:
        put_older_client_in(client, case.tag)


def _remove(client: docker.DockerClient, images: list[Any]) -> None:
    for image in images:
        try:
            client.images.remove(image.id)
        except docker.errors.APIError as problem:  # in use, or somebody else's too
            if problem.status_code not in (404, 409):
                raise


@contextmanager
def no_built_images_left(client: docker.DockerClient, image: str, mode: str) -> Iterator[None]:
    """Removes what the block makes of the image in mode `build`; `mount` makes none."""
    base = client.images.get(image).id
    makes_some = mode == "build" and image != PLAIN
    try:
        yield
    finally:
        label = f"tether.base={base}"
        for built in client.images.list(filters={"label": label}) if makes_some else ():
            client.images.remove(built.id, force=True)


def make_base(client: docker.DockerClient, name: str) -> None:
    """Makes an image that Dockerfiles of cases begin with, unless it is there."""
    if name.startswith("layers:"):
        subprocess.run([MAKE_IMAGE, "busybox"], check=True)
        with_layers(client, "tether-test/busybox:latest", int(name.partition(":")[2]))
    else:
        subprocess.run([MAKE_IMAGE, name], check=True)


def put_older_client_in(client: docker.DockerClient, tag: str) -> None:
    """Builds the image with a client that has another version and a module more than ours."""
    files = {name.replace("0.1.0", "0.0.1"): data for name, data in recipes.code_files().items()}
    files["tether_runtime_client/gone.py"] = b"OLD = 1\n"
    with mock.patch.object(recipes, "code_files", return_value=files):
        older = build_image(tag, client=client)
    client.api.tag(older.image_id, *tag.rsplit(":", 1))
    client.images.remove(older.tag)
