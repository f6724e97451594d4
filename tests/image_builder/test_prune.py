"""What is removed, and what never is. Each test looks at names of its own only."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import docker
import docker.errors
import pytest
from click.testing import CliRunner
from docker.models.images import Image
from docker.models.volumes import Volume

from tether_image_builder import BuildProgress, BuildResult, PruneResult, prune_images
from tether_image_builder.cli import main
from tether_image_builder.context import context_archive
from tether_image_builder.engine import connected
from tether_image_builder.environment import EnvironmentRecipe
from tether_image_builder.locks import images_in_use
from tether_image_builder.models import ignore_progress
from tether_image_builder.spec import ShellStep, Spec
from tether_image_builder.stock import Stock

from .programs import output_of

pytestmark = pytest.mark.engine

PLATFORM = f"linux/{'arm64' if os.uname().machine == 'aarch64' else 'amd64'}"
Build = Callable[..., BuildResult]
Prune = Callable[..., PruneResult]
MakeImage = Callable[..., Image]


@pytest.fixture
def busybox(busybox: str, make_image: MakeImage) -> str:
    """With a layer of its own, so that no other test's image shares those on top of it."""
    return str(make_image(f"FROM {busybox}\nRUN echo {busybox} > /own").tags[0])


@pytest.fixture
def really_old(
    build: Build, busybox: str, still_code: dict[str, bytes], names: list[str]
) -> BuildResult:
    """An image with a client that is not today's, and that no other test has."""
    still_code["tether_runtime_client/former.py"] = f"FORMER = {busybox!r}\n".encode()
    result = build(busybox)
    del still_code["tether_runtime_client/former.py"]
    names.append(result.environment_image)
    return result


@dataclass(frozen=True)
class Old:
    """What a build leaves behind, without what makes it large."""

    tag: str
    image_id: str
    base_id: str
    environment_image: str


DOCKERFILE = """
FROM {base}
COPY Dockerfile /opt/tether/
COPY Dockerfile /opt/tether/code/
LABEL tether.base={base_id} tether.fingerprint={digits} tether.environment.fingerprint={digits}
"""


@pytest.fixture
def old(client: docker.DockerClient, busybox: str, names: list[str]) -> Old:
    digits = sha256(busybox.encode()).hexdigest()
    base_id = str(client.images.get(busybox).id)
    tag = f"{busybox.partition(':')[0]}_tether:{digits[:16]}"
    environment = f"tether-env-{digits[:8]}:{digits[:16]}"
    names.extend([tag, environment])
    texts = {
        tag: DOCKERFILE.format(base=busybox, base_id=base_id, digits=digits),
        environment: f"FROM scratch\nCOPY Dockerfile /{digits}\nLABEL tether.kind=environment\n",
    }
    with connected(client) as engine:
        for name, text in texts.items():
            context = context_archive({"Dockerfile": text.encode()})
            engine.build(context, tag=name, report=ignore_progress, phase="build")
    return Old(tag, str(client.images.get(tag).id), base_id, environment)


def pattern(result: BuildResult | Old) -> str:
    return f"{result.tag.partition(':')[0]}:*"


def patterns(result: BuildResult | Old) -> tuple[str, str]:
    return pattern(result), result.environment_image


def is_there(client: docker.DockerClient, name: str) -> bool:
    try:
        client.images.get(name)
    except docker.errors.ImageNotFound:
        return False
    return True


@pytest.fixture
def own_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on, the lock is the test's own: it need not wait for other tests' builds."""
    return lambda: monkeypatch.setenv("TETHER_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def prune(client: docker.DockerClient, own_lock: Callable[[], None]) -> Prune:
    def prune(*patterns: str, **options: Any) -> PruneResult:
        own_lock()
        return prune_images(*patterns, client=client, **options)

    return prune


def test_what_is_not_today_s_goes_and_the_rest_stays(
    client: docker.DockerClient, build: Build, busybox: str, really_old: BuildResult, prune: Prune
) -> None:
    new = build(busybox)
    told: list[BuildProgress] = []
    result = prune(*patterns(really_old), progress=told.append)
    assert {each.name for each in result.removed} == {really_old.tag, really_old.environment_image}
    assert [each.name for each in result.kept] == [new.tag]
    assert "wanted" in result.kept[0].reason
    assert not is_there(client, really_old.image_id)
    assert not is_there(client, really_old.environment_image)
    assert is_there(client, busybox)
    assert is_there(client, new.environment_image)
    assert f"removing {really_old.tag}" in map(str, told)
    # The two images have the layer of the environment in common, so only the code's is freed.
    [code] = [layer.bytes for layer in really_old.layers if layer.part == "code"]
    assert [each.bytes for each in result.removed if each.name == really_old.tag] == [code]
    assert result.bytes_freed == sum(each.bytes for each in result.removed)


def test_nothing_of_a_build_stays_behind(
    client: docker.DockerClient, busybox: str, really_old: BuildResult, prune: Prune
) -> None:
    every = {image["Id"]: image for image in client.api.images(all=True)}
    parent = every[really_old.image_id]["ParentId"]
    assert parent != client.images.get(busybox).id
    result = prune(*patterns(really_old))
    assert not is_there(client, parent)
    [mine] = [each for each in result.removed if each.name == really_old.tag]
    assert mine.bytes == sum(layer.bytes for layer in really_old.layers)


def test_a_dry_run_removes_nothing(client: docker.DockerClient, old: Old, prune: Prune) -> None:
    expected = prune(*patterns(old), dry_run=True)
    assert expected.dry_run
    assert old.tag in {each.name for each in expected.removed}
    assert is_there(client, old.tag)
    assert prune(*patterns(old)).bytes_freed == expected.bytes_freed


def test_what_somebody_removes_meanwhile_is_no_failure(
    client: docker.DockerClient,
    old: Old,
    prune: Prune,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listed = Stock.images

    def then_removed(stock: Stock) -> list[Any]:
        found = listed(stock)
        client.images.remove(old.tag)
        return found

    monkeypatch.setattr(Stock, "images", then_removed)
    assert prune(old.tag, dry_run=True).bytes_freed == 0


def test_what_is_wanted_goes_when_all_is_asked_for(
    client: docker.DockerClient, build: Build, busybox: str, prune: Prune
) -> None:
    result = build(busybox)
    assert not prune(pattern(result)).removed
    [gone] = prune(pattern(result), everything=True).removed
    assert gone.name == result.tag
    assert gone.bytes == result.bytes_added


def test_what_is_young_stays(client: docker.DockerClient, old: Old, prune: Prune) -> None:
    result = prune(*patterns(old), older_than=timedelta(hours=1))
    assert not result.removed
    assert {each.reason for each in result.kept if each.name == old.tag} == {"it is too young"}
    assert prune(*patterns(old), older_than=timedelta(0)).removed


def test_what_a_container_uses_stays(client: docker.DockerClient, old: Old, prune: Prune) -> None:
    container = client.containers.create(old.tag, ["true"], entrypoint="")
    try:
        result = prune(*patterns(old), everything=True)
        assert old.tag in {each.name for each in result.kept if "container" in each.reason}
        assert is_there(client, old.tag)
    finally:
        container.remove()
    assert old.tag in {each.name for each in prune(*patterns(old)).removed}


def test_what_somebody_named_is_his(
    client: docker.DockerClient, old: Old, names: list[str], prune: Prune
) -> None:
    own = f"{old.tag.partition('_tether')[0]}-mine:1"
    client.api.tag(old.image_id, own)
    names.append(own)
    result = prune(pattern(old), own, everything=True)
    assert result.removed == result.kept == ()
    assert is_there(client, own)
    assert is_there(client, old.tag)


def test_what_is_built_on_top_is_somebody_s(
    client: docker.DockerClient, old: Old, make_image: MakeImage, prune: Prune
) -> None:
    mine = make_image(f"FROM {old.tag}\nRUN echo mine > /mine")
    prune(pattern(old), mine.tags[0], everything=True)
    output = output_of(client, mine.tags[0], ["cat", "/mine"], entrypoint="")
    assert output == b"mine\n"


def test_what_came_from_elsewhere_is_somebody_s(
    client: docker.DockerClient, old: Old, prune: Prune
) -> None:
    archive = b"".join(client.images.get(old.tag).save(named=True))
    client.images.remove(old.tag)
    client.images.load(archive)
    assert not prune(pattern(old), everything=True).removed
    assert is_there(client, old.tag)


def test_an_image_that_only_looks_like_one_stays(
    client: docker.DockerClient, make_image: MakeImage, busybox: str, names: list[str], prune: Prune
) -> None:
    image = make_image(f"FROM {busybox}\nLABEL some=thing")
    name = f"{busybox.partition(':')[0]}_tether:0123456789abcdef"
    client.api.tag(image.id, name)
    client.api.remove_image(image.tags[0])
    names.append(name)
    assert not prune(name, everything=True).removed


def test_a_base_that_lost_its_name_stays(
    client: docker.DockerClient, busybox: str, old: Old, prune: Prune
) -> None:
    client.images.remove(busybox)
    prune(*patterns(old))
    assert not is_there(client, old.tag)
    assert is_there(client, old.base_id)
    client.images.remove(old.base_id)


@pytest.fixture
def volume(client: docker.DockerClient, busybox: str) -> Iterator[Volume]:
    name = f"{busybox.partition(':')[0].replace('/', '-')}-volume"
    labels = {"tether.kind": "environment", "tether.fingerprint": "0" * 64}
    volume = client.volumes.create(name, labels=labels)
    yield volume
    with suppress(docker.errors.NotFound):
        volume.remove(force=True)


def test_a_volume_that_nothing_uses_goes(
    client: docker.DockerClient, volume: Volume, busybox: str, prune: Prune
) -> None:
    mount = [f"{volume.name}:/data"]
    container = client.containers.create(
        busybox, ["sh", "-c", "head -c 5000000 /dev/zero > /data/file"], volumes=mount
    )
    try:
        container.start()
        container.wait()
        [kept] = prune(volume.name, everything=True).kept
        assert (kept.kind, kept.reason) == ("volume", "a container uses it")
    finally:
        container.remove()
    [gone] = prune(volume.name).removed
    assert (gone.kind, gone.name) == ("volume", volume.name)
    assert gone.bytes >= 5_000_000
    with pytest.raises(docker.errors.NotFound):
        client.volumes.get(volume.name)


def test_the_volumes_of_todays_environment_stay_and_a_half_filled_one_goes(
    client: docker.DockerClient, busybox: str, prune: Prune, still_code: dict[str, bytes]
) -> None:
    # A client of the test's own: who mounts today's environment clears away what was half-filled.
    still_code["tether_runtime_client/own.py"] = busybox.encode()
    today = EnvironmentRecipe.load("portable", PLATFORM).described.fingerprint
    name = busybox.partition(":")[0].replace("/", "-")
    labels = {"tether.kind": "environment", "tether.fingerprint": today}
    client.volumes.create(f"{name}-filled", labels=labels)
    client.volumes.create(f"{name}-half", labels=labels)
    client.volumes.create(f"{name}-ready", labels={**labels, "tether.volume": f"{name}-filled"})
    try:
        result = prune(f"{name}-*")
        assert [each.name for each in result.removed] == [f"{name}-half"]
        assert {each.reason for each in result.kept} == {"it is wanted today"}
    finally:
        assert len(prune(f"{name}-*", everything=True).removed) == 2


def test_steps_stay_as_long_as_what_was_made_of_them(
    build: Build, busybox: str, prune: Prune, names: list[str]
) -> None:
    step = ShellStep(commands=[f"echo {busybox} > /mine"])
    result = build(spec=Spec(image=busybox, steps=[step, ShellStep(commands=["echo 2 > /two"])]))
    made = [each.image for each in result.steps]
    names.extend(made)
    assert not prune(*made).removed
    gone = prune(pattern(result), *made, everything=True).removed
    assert [each.name for each in gone] == [result.tag, *reversed(made)]
    assert [each.kind for each in gone] == ["image", "step", "step"]


def test_a_stage_that_nobody_ended_goes(
    client: docker.DockerClient, busybox: str, names: list[str], prune: Prune
) -> None:
    stage = f"FROM {busybox}\nLABEL tether.stage={busybox}\nRUN echo 1 > /1\nRUN echo 2 > /2\n"
    name = f"{busybox}-stage"
    names.append(name)
    with connected(client) as engine:
        context = context_archive({"Dockerfile": stage.encode()})
        engine.build(context, tag=name, report=ignore_progress, phase="build")
    image_id = str(client.images.get(name).id)
    assert not prune(image_id).removed  # it has a name
    client.api.tag(busybox, name)
    [gone] = prune(image_id).removed
    assert (gone.kind, gone.name) == ("environment", image_id)
    assert client.api.images(all=True, filters={"label": f"tether.stage={busybox}"}) == []
    assert is_there(client, busybox)


def test_it_waits_for_builds(
    client: docker.DockerClient, old: Old, prune: Prune, own_lock: Callable[[], None]
) -> None:
    told: list[str] = []
    waiting = threading.Event()

    def report(progress: BuildProgress) -> None:
        told.append(str(progress))
        waiting.set()

    own_lock()
    thread = threading.Thread(target=prune, args=patterns(old), kwargs={"progress": report})
    with images_in_use(), images_in_use():
        thread.start()
        assert waiting.wait(60)
        assert is_there(client, old.tag)
    thread.join()
    assert told[0] == "waiting for a build to end"
    assert not is_there(client, old.tag)


def test_the_command(old: Old, own_lock: Callable[[], None]) -> None:
    own_lock()
    runner = CliRunner()
    dry = runner.invoke(main, ["prune", "--dry-run", "--output", "json", pattern(old)])
    described = json.loads(dry.stdout)
    assert [each["name"] for each in described["removed"]] == [old.tag]
    result = runner.invoke(main, ["prune", "--older-than", "0s", pattern(old)])
    assert result.exit_code == 0, result.stderr
    [line, total] = result.stdout.splitlines()
    assert line.startswith(f"image {old.tag} ")
    assert total == f"freed {described['bytes_freed'] / 1e6:.1f} MB"
    assert runner.invoke(main, ["prune", pattern(old)]).stdout == "freed 0.0 MB\n"
