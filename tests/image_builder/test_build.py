"""Real builds on a real engine, and what runs in the images that come of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

import docker
import docker.errors
import pytest
from docker.models.images import Image

from tether_image_builder import BuildProgress, BuildResult, build_image, ensure_environment
from tether_image_builder.context import context_archive
from tether_image_builder.environment import EnvironmentRecipe
from tether_image_builder.errors import BuildFailed, ImageNotFound, WrongArchitecture

from .programs import output_of

pytestmark = pytest.mark.engine

Build = Callable[..., BuildResult]
MakeImage = Callable[..., Image]

PYTHON = "/opt/tether/bin/python3"
CLIENT = "/opt/tether/bin/tether-runtime-client"
IMPORTS = "import pydantic, websockets, pexpect, ssl, sqlite3, ctypes, tether_runtime_client"
HOSTILE = {
    "LD_LIBRARY_PATH": "/nonsense",
    "LD_PRELOAD": "/nonsense.so",
    "PYTHONHOME": "/nonsense",
    "PYTHONPATH": "/nonsense",
}


def run(client: docker.DockerClient, image: str, argv: list[str], **options: Any) -> str:
    """What a program of an image writes, on both streams."""
    options = {"network_mode": "none", "entrypoint": argv[:1], **options}
    return output_of(client, image, argv[1:], **options).decode()


def config(client: docker.DockerClient, image: str) -> dict[str, Any]:
    return dict(client.images.get(image).attrs["Config"])


@pytest.mark.parametrize("image", ["debian", "busybox"])
def test_the_client_runs_in_the_built_image(
    client: docker.DockerClient, build: Build, request: pytest.FixtureRequest, image: str
) -> None:
    base = request.getfixturevalue(image)
    result = build(base)
    found = client.images.get(result.tag)
    assert found.id == result.image_id
    assert result.base_id == client.images.get(base).id
    assert result.environment == "portable"
    assert 40e6 < result.bytes_added < 90e6
    assert "5." in run(client, result.tag, ["/opt/tether/bin/bash", "-c", "echo $BASH_VERSION"])
    program = f"{IMPORTS}; print(tether_runtime_client.__file__)"
    output = run(client, result.tag, [PYTHON, "-I", "-c", program], read_only=True, user="1234")
    assert output == "/opt/tether/code/tether_runtime_client/__init__.py\n"
    modes = run(client, result.tag, [PYTHON, "-I", "-c", MODES])
    assert modes.split() == ["0o41777", "0o40755"]


MODES = "import os; print(*(oct(os.stat(f'/opt/tether/{n}').st_mode) for n in ('run', 'socket')))"


def test_an_images_variables_do_not_reach_the_clients_python(
    client: docker.DockerClient, build: Build, busybox: str, tmp_path: Path
) -> None:
    package = tmp_path / "tether_runtime_client"
    package.mkdir()
    program = "import json, os, sys; print(json.dumps([sys.argv[1:], dict(os.environ)]))"
    (package / "__main__.py").write_text(program)
    volumes = [f"{tmp_path}:/opt/tether/code:ro"]
    output = run(
        client,
        build(busybox).tag,
        [CLIENT, "an", "argument"],
        environment={**HOSTILE, "OTHER": "kept"},
        volumes=volumes,
    )
    arguments, environment = json.loads(output)  # nothing else was written: no loader warnings
    assert arguments == ["an", "argument"]
    assert environment["OTHER"] == "kept"
    assert not HOSTILE.keys() & environment.keys()
    assert {name: environment[f"TETHER_ENV_{name}"] for name in HOSTILE} == HOSTILE


def test_an_images_loader_settings_do_not_reach_the_environments_loader(
    client: docker.DockerClient, build: Build, make_image: MakeImage, debian: str
) -> None:
    image = make_image(f"FROM {debian}\nRUN echo /nonsense.so > /etc/ld.so.preload; :")
    tag = build(image.tags[0]).tag
    assert "nonsense" in run(client, tag, ["/bin/true"])  # the image's own loader complains
    environment = {name: HOSTILE[name] for name in HOSTILE if name != "LD_PRELOAD"}
    output = run(client, tag, [PYTHON, "-I", "-c", f"{IMPORTS}; print(1)"], environment=environment)
    assert output == "1\n"


def test_the_environment_needs_no_image_at_all(
    client: docker.DockerClient, still_code: dict[str, bytes]
) -> None:
    environment = ensure_environment(client=client)
    program = f"{IMPORTS}; print(open('/proc/self/maps').read().count('/usr/lib'))"
    assert run(client, environment.image, [PYTHON, "-I", "-c", program]) == "0\n"
    assert ensure_environment(client=client) == environment


def test_every_module_is_compiled_whatever_its_time_stamp(
    client: docker.DockerClient, build: Build, busybox: str
) -> None:
    program = (
        "import sys, pathlib, importlib.util as u;"
        "files = pathlib.Path('/opt/tether').rglob('*.py');"
        "compiled = [pathlib.Path(u.cache_from_source(str(path))) for path in files];"
        "print(len([path for path in compiled if not path.exists()]));"
        "print({path.read_bytes()[4] for path in compiled})"  # 1: by hash, and never checked
    )
    assert run(client, build(busybox).tag, [PYTHON, "-I", "-c", program]) == "0\n{1}\n"


def test_the_second_time_there_is_nothing_to_do(build: Build, busybox: str) -> None:
    first = build(busybox)
    steps: list[BuildProgress] = []
    second = build(busybox, progress=steps.append)
    assert (second.reused, second.image_id) == (True, first.image_id)
    assert [step.phase for step in steps] == ["done"]
    assert second.seconds < 1  # about a tenth


def test_an_image_with_this_client_stays_as_it_is(build: Build, busybox: str) -> None:
    first = build(busybox)
    second = build(first.tag)
    assert second.reused
    assert (second.tag, second.image_id) == (first.tag, first.image_id)
    assert (second.fingerprint, second.command) == (first.fingerprint, ("sh",))


def test_an_image_made_from_a_built_one_keeps_its_own_command(
    client: docker.DockerClient, build: Build, make_image: MakeImage, busybox: str
) -> None:
    derived = make_image(f'FROM {build(busybox).tag}\nCMD ["mine"]')
    result = build(derived.tags[0])
    assert result.reused
    assert (result.entrypoint, result.command) == (None, ("mine",))


def test_no_cache_builds_again_and_leaves_no_old_image(
    client: docker.DockerClient, build: Build, busybox: str
) -> None:
    first = build(busybox)
    second = build(busybox, no_cache=True)
    assert not second.reused
    assert second.image_id != first.image_id
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get(first.image_id)


def test_changed_code_is_one_small_layer(
    client: docker.DockerClient, build: Build, busybox: str, still_code: dict[str, bytes]
) -> None:
    first = build(busybox)
    still_code["tether_runtime_client/more.py"] = b"MORE = 1\n"
    second = build(busybox)
    assert second.fingerprint != first.fingerprint
    layers = [client.images.get(each.tag).attrs["RootFS"]["Layers"] for each in (first, second)]
    assert layers[0][:-1] == layers[1][:-1]
    assert layers[0][-1] != layers[1][-1]
    environment, code = second.layers
    assert (environment.part, environment.reused, environment.seconds) == ("environment", True, 0)
    assert (code.part, code.reused) == ("code", False)
    assert code.seconds > 0
    assert environment.bytes + code.bytes == second.bytes_added
    assert 0 < code.bytes < 5e6


def test_the_result_tells_what_was_made(build: Build, busybox: str) -> None:
    first = build(busybox)
    assert (first.reused, first.environment_reused) == (False, True)
    assert [layer.part for layer in first.layers] == ["environment", "code"]
    assert not any(layer.reused for layer in first.layers)
    assert sum(layer.seconds for layer in first.layers) <= first.seconds
    again = build(busybox)
    assert again.reused
    assert all(layer.reused and layer.seconds == 0 for layer in again.layers)
    assert [layer.bytes for layer in again.layers] == [layer.bytes for layer in first.layers]


def test_a_build_argument_that_nothing_declares_is_reported(build: Build, busybox: str) -> None:
    steps: list[BuildProgress] = []
    arguments = {"OTHER": "1", "http_proxy": "http://127.0.0.1:1"}
    result = build(busybox, build_args=arguments, progress=steps.append)
    warnings = [str(step) for step in steps if str(step).startswith("[Warning]")]
    assert warnings == ["[Warning] One or more build-args [OTHER] were not consumed"]
    assert build(busybox).image_id == result.image_id


def test_two_builds_at_once_build_once(
    client: docker.DockerClient, build: Build, make_image: MakeImage, busybox: str
) -> None:
    image = make_image(f"FROM {busybox}\nLABEL one=1").tags[0]
    build(busybox)  # the environment is there
    results: list[BuildResult] = []

    def work() -> None:
        results.append(build(image))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result.reused for result in results) == [False, True, True]
    assert len({result.image_id for result in results}) == 1


NASTY = r"""
FROM {base}
ENV GREETING="a $b" PATH=/own:/bin
WORKDIR /work
USER nobody
EXPOSE 80
LABEL mine="a label"
VOLUME /data
STOPSIGNAL SIGUSR1
HEALTHCHECK CMD ["true"]
ENTRYPOINT ["/bin/sh", "-c", "echo \"$GREETING\" 'it''s' \\ ${{X:-y}}\n done"]
CMD ["ü", "$HOME", "#", "a\\nb"]
"""


KEPT = ("Env", "User", "WorkingDir", "ExposedPorts", "Healthcheck", "Volumes", "StopSignal")
KEPT += ("Entrypoint", "Cmd")


def test_the_image_stays_the_user_s(
    client: docker.DockerClient, build: Build, make_image: MakeImage, busybox: str
) -> None:
    base = make_image(NASTY.format(base=busybox)).tags[0]
    result = build(base)
    before, after = config(client, base), config(client, result.tag)
    for name in KEPT:
        assert after[name] == before[name]
        assert after[name], name
    assert {name for name in after["Labels"] if not name.startswith("tether.")} == {"mine"}
    assert after["Labels"]["mine"] == "a label"
    assert (list(result.entrypoint or ()), list(result.command or ())) == (
        before["Entrypoint"],
        before["Cmd"],
    )
    # USER nobody did not hinder the copy, and root owns what was copied.
    assert run(client, result.tag, ["stat", "-c", "%u %a", CLIENT]) == "0 755\n"


def test_instructions_for_later_builds_do_not_run(
    client: docker.DockerClient, build: Build, make_image: MakeImage, busybox: str
) -> None:
    base = make_image(f'FROM {busybox}\nONBUILD COPY missing /\nCMD ["mine"]').tags[0]
    result = build(base)
    assert result.command == ("mine",)
    assert config(client, result.tag)["Cmd"] == ["mine"]
    assert result.base_id == client.images.get(base).id
    assert build(base).reused


def test_a_name_of_ones_own(
    client: docker.DockerClient, build: Build, busybox: str, names: list[str]
) -> None:
    result = build(busybox, tag="tether-test/named:1")
    names.append(build(busybox).tag)
    assert result.tag == "tether-test/named:1"
    assert client.images.get(result.tag).id == result.image_id
    with pytest.raises(ValueError, match="no valid name"):
        build(busybox, tag="No Name")


def test_a_name_of_the_image_itself_stays_its_own(
    client: docker.DockerClient, build: Build, busybox: str, names: list[str]
) -> None:
    image = client.images.get(busybox)
    names.append("tether-test/own-name:latest")
    image.tag("tether-test/own-name")
    for tag, name in (
        (busybox, busybox),
        ("tether-test/own-name", "tether-test/own-name:latest"),
        ("tether-test/own-name", busybox),
        ("tether-test/own-name", str(image.id)),
    ):
        with pytest.raises(ValueError, match="is a name of the image that is built from"):
            build(name, tag=tag)
        assert client.images.get(tag).id == image.id
    result = build(busybox, tag="tether-test/own-result:1")
    names.append(build(busybox).tag)
    again = build(build(busybox).tag, tag="tether-test/own-result:1")  # it has that name already
    assert again.image_id == result.image_id


def test_an_image_that_is_here_for_another_platform_only(build: Build, busybox: str) -> None:
    with pytest.raises(ImageNotFound) as caught:
        build(busybox, platform="linux/s390x")
    assert (
        f"the image {busybox!r} is here for linux/amd64 only, and pulling it for linux/s390x"
        in (caught.value.message)
    )


def test_a_name_that_the_engine_does_not_take(
    client: docker.DockerClient, build: Build, busybox: str, names: list[str]
) -> None:
    plain = build(busybox)
    with pytest.raises(BuildFailed, match="naming it") as caught:
        build(busybox, tag="Team/app:1")
    assert plain.tag in str(caught.value)


def test_by_id(client: docker.DockerClient, build: Build, busybox: str) -> None:
    image_id = str(client.images.get(busybox).id)
    result = build(image_id)
    assert result.tag.startswith(f"image-{image_id.removeprefix('sha256:')[:12]}_tether:")


@pytest.mark.parametrize(
    "image", ["tether-test/no-such-image:1", "No such name", "sha256:" + "0" * 64]
)
def test_no_such_image(build: Build, image: str) -> None:
    with pytest.raises(ImageNotFound) as caught:
        build(image)
    assert caught.value.code == "image_not_found"
    assert caught.value.data["pull_error"]


def archive_of_image(
    name: str, architecture: str, files: Mapping[str, bytes] = MappingProxyType({})
) -> bytes:
    """An image as `docker save` writes it."""
    layer = context_archive(files)
    history = {"type": "layers", "diff_ids": [f"sha256:{sha256(layer).hexdigest()}"]}
    config = {"architecture": architecture, "os": "linux", "config": {}, "rootfs": history}
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    return context_archive(
        {
            "manifest.json": json.dumps(manifest).encode(),
            "config.json": json.dumps(config).encode(),
            "layer.tar": layer,
        }
    )


def test_another_architecture(client: docker.DockerClient, build: Build, names: list[str]) -> None:
    name = "tether-test/elsewhere:1"
    client.images.load(archive_of_image(name, "s390x"))
    names.append(name)
    with pytest.raises(WrongArchitecture, match=r"linux/s390x.*linux/") as caught:
        build(name)
    assert caught.value.data["image_platform"] == "linux/s390x"
    assert "docker load" in caught.value.hint
    with pytest.raises(WrongArchitecture, match=r"is for linux/s390x, and linux/amd64 was asked"):
        build(client.images.get(name).id, platform="amd64")


def test_an_environment_that_was_brought_here_serves_another_architecture(
    client: docker.DockerClient, build: Build, names: list[str], still_code: object
) -> None:
    """Copying runs nothing, so the engine's own architecture does not matter."""
    name = "tether-test/elsewhere:2"
    environment = EnvironmentRecipe.load("portable", "linux/s390x").described
    files = {"opt/tether/bin/python3": b"", "opt/tether/code/tether_runtime_client.py": b""}
    for image in (name, environment.base_image, environment.image):
        client.images.load(archive_of_image(image, "s390x", {} if image == name else files))
        names.append(image)
    result = build(name, env="portable")
    assert result.platform == "linux/s390x"
    assert client.images.get(result.tag).attrs["Architecture"] == "s390x"
    assert build(name, env="portable", platform="linux/s390x").reused


def test_a_build_that_fails_shows_why(build: Build, make_image: MakeImage, busybox: str) -> None:
    base = make_image(f"FROM {busybox}\nRUN mkdir /opt && echo in the way > /opt/tether").tags[0]
    with pytest.raises(BuildFailed) as caught:
        build(base)
    assert caught.value.data["log"]
    assert "COPY --from=tether-env-portable-base" in str(caught.value)


def test_without_a_client_of_ones_own(busybox: str, names: list[str], still_code: object) -> None:
    result = build_image(busybox)
    names.append(result.tag)
    assert result.image_id
