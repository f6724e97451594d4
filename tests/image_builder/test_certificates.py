"""A certificate that is lent to build steps is in nothing that comes of them."""

from __future__ import annotations

import base64
import gzip
import io
import os
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import docker
import pytest

from tether_image_builder import BuildResult, ensure_environment
from tether_image_builder.engine import connected
from tether_image_builder.environment import EnvironmentImage, EnvironmentRecipe
from tether_image_builder.models import BuildOptions
from tether_image_builder.spec import ShellStep, Spec

pytestmark = pytest.mark.engine

Build = Callable[..., BuildResult]
MARK = base64.b32encode(os.urandom(40)).decode()  # nothing that a shell or a pattern means


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    path = tmp_path / "own.crt"
    path.write_text(f"-----BEGIN CERTIFICATE-----\n{MARK}\n-----END CERTIFICATE-----\n")
    return path


def saved(client: docker.DockerClient, image: str) -> list[bytes]:
    """Every file of every layer of an image, its configuration, and its history."""
    archive = io.BytesIO(b"".join(client.images.get(image).save(named=True)))
    found = []
    with tarfile.open(fileobj=archive) as members:
        for member in members:
            content = (file := members.extractfile(member)) and file.read()
            found.append(content or member.name.encode())
            if member.name.endswith(".tar"):
                found += files_of(content or b"")
    return found


def files_of(layer: bytes) -> list[bytes]:
    with tarfile.open(fileobj=io.BytesIO(layer)) as members:
        files = [members.extractfile(member) for member in members if member.isfile()]
        return [file.read() for file in files if file is not None]


def holds(contents: list[bytes]) -> bool:
    """Also where it was packed once more."""
    packed = [gzip.decompress(each) for each in contents if each.startswith(b"\x1f\x8b\x08")]
    return any(MARK.encode() in each for each in [*contents, *packed])


def test_it_is_lent_to_a_spec_s_steps(
    client: docker.DockerClient,
    build: Build,
    busybox: str,
    names: list[str],
    certificate: Path,
) -> None:
    step = ShellStep(commands=[f'grep -q "{MARK}" "$SSL_CERT_FILE" && echo 1 > /seen'])
    kept = ShellStep(commands=['cp "$SSL_CERT_FILE" /kept'])
    result = build(spec=Spec(image=busybox, steps=[step]), ca_certificate=certificate)
    names.extend(each.image for each in result.steps)
    contents = saved(client, result.tag)
    assert b"1\n" in contents
    assert not holds(contents)
    # Whoever writes it into the image himself has it there: the search finds what there is.
    result = build(spec=Spec(image=busybox, steps=[kept]), ca_certificate=certificate)
    names.extend(each.image for each in result.steps)
    assert holds(saved(client, result.tag))


def test_it_is_lent_to_the_environment_s_build_stage(
    client: docker.DockerClient,
    still_code: object,
    names: list[str],
    request: pytest.FixtureRequest,
    certificate: Path,
) -> None:
    portable = ensure_environment("portable", client=client)
    own = f"tether-test/env-{crc32(request.node.nodeid.encode()):x}"
    described = EnvironmentImage("portable", f"{own}-base:1", f"{own}:1", "0" * 64)
    names.extend([described.base_image, described.image])
    found = f"[[ $(< /host/ca.crt) == *{MARK}* ]]"
    dockerfile = (
        "ARG BASE\nFROM ${BASE}\nARG STAGE\nLABEL tether.stage=${STAGE}\nCOPY host /host\n"
        f'RUN ["/opt/tether/bin/bash", "-c", "{found}"]\n'
        "FROM scratch\nCOPY --from=0 /opt/tether /opt/tether\n"
    )
    loaded = EnvironmentRecipe.load("portable", "linux/amd64")
    manifest = loaded.recipe.manifest.model_copy(update={"base": portable.base_image})
    recipe = replace(
        loaded,
        described=described,
        recipe=replace(loaded.recipe, manifest=manifest),
        files={"Dockerfile": dockerfile.encode()},
    )
    options = BuildOptions(ca_certificate=certificate.read_bytes())
    with connected(client) as engine:
        recipe.ensure(engine, lambda _: None, options)
    assert not holds(saved(client, described.image))
