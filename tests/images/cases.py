"""A case: a folder with a Dockerfile, perhaps options, and `verify`, which says what it is for."""

from __future__ import annotations

import ast
import re
import runpy
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import docker
from pydantic import BaseModel, ConfigDict, Field

from tether_image_builder import build_image, recipes
from tether_server import SyncEventStreamRuntime

from .archives import with_layers

HERE = Path(__file__).parent
MAKE_IMAGE = HERE.parents[1] / "docker" / "images" / "make-image"
BASE = re.compile(r"tether-test/([a-z]+(?::\w+)?)")
MODES = ("build",)


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ImageOptions(_Table):
    """How the image is made, beside its Dockerfile."""

    tag: str = ""
    older_client: bool = False


class CheckOptions(_Table):
    """What the common checks need to know: a folder to write to, a program that ends with 0."""

    folder: str = "/tmp"
    program: tuple[str, ...] = ("true",)
    shell: Literal["own", "bundled"] = "own"


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
    def tag(self) -> str:
        """What the image is called."""
        return self.options.image.tag or f"tether-test/case-{self.name}:latest"

    def runtime(self, image: str, mode: str) -> SyncEventStreamRuntime:
        """A runtime with the case's options, not started yet."""
        return SyncEventStreamRuntime(image, **self.options.runtime)


def load_cases() -> list[Case]:
    """All cases, in the order of their numbers."""
    return [Case.load(path.parent) for path in sorted(HERE.glob("[0-9][0-9]-*/verify"))]


@contextmanager
def image_of(case: Case, client: docker.DockerClient) -> Iterator[str]:
    """Makes the case's image; removes it, and what was made from it, afterwards."""
    for base in sorted(set(BASE.findall((case.folder / "Dockerfile").read_text()))):
        make_base(client, base)
    # With a label of its own even an image that is nothing but its base has an id of its own.
    labels = {"tether.test": case.name}
    client.images.build(path=str(case.folder), tag=case.tag, labels=labels, rm=True, forcerm=True)
    try:
        if case.options.image.older_client:
            put_older_client_in(client, case.tag)
        yield case.tag
    finally:
        image = client.images.get(case.tag).id
        for built in client.images.list(filters={"label": f"tether.base={image}"}):
            client.images.remove(built.id, force=True)
        client.images.remove(case.tag, force=True)


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
