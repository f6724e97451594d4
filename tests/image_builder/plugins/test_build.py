"""Images of plugins, made on a real engine, and what runs in the images that they are put into."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import docker
import docker.errors
import pytest

from tether_image_builder import BuildProgress, BuildResult, prepare_mount, prune_images
from tether_image_builder.dry_run import dry_run
from tether_image_builder.errors import BuildFailed
from tether_image_builder.models import PluginLayer
from tether_runtime_client.protocol.errors import PluginInvalid
from tether_server.backends.engine_address import engine_address

from ...images.cases import Case, image_of
from ..test_build import PYTHON, run
from .conftest import PROBE, Install
from .packages import package, sources, wheel

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

Build = Callable[..., BuildResult]

own_images = pytest.mark.usefixtures("own_images")

LOOK = """
import json, os, subprocess, sys
prefix = "/opt/tether/plugins/probe"
sys.path.insert(0, prefix + "/site")
import zmq, tether_probe
from tether_runtime_client.plugin.installed import installed_plugins
from pathlib import Path
found = installed_plugins(Path("/opt/tether/plugins"))["probe"]
done = subprocess.run([prefix + "/bin/hello"], capture_output=True, text=True)
compiled = tether_probe.__cached__
print(json.dumps({
    "door": found.declaration.door,
    "path": found.path,
    "prefix": found.prefix,
    "version": found.version,
    "zmq": zmq.zmq_version_info()[0],
    "said": done.stdout + done.stderr,
    "text": open(prefix + "/share/text").read(),
    "greet": oct(os.stat(prefix + "/bin/greet").st_mode & 0o7777),
    "other": oct(os.stat(prefix + "/other/hello").st_mode & 0o7777),
    "pip": open(prefix + "/pip").read().split()[0],
    "by hash": open(compiled, "rb").read()[4],
    "libraries": [line.split()[-1] for line in open("/proc/self/maps") if "/usr/lib" in line],
    "tether": [name for name in os.listdir(prefix + "/site") if "tether_runtime" in name],
}))
"""
SEEN = {
    "door": 1,
    "path": ["/opt/tether/plugins/probe/site"],
    "prefix": "/opt/tether/plugins/probe",
    "version": "1.2",
    "zmq": 4,
    "said": "Hello, world!\n",
    "text": "a text\n",
    "greet": "0o755",
    "other": "0o755",
    "pip": "pip",
    "by hash": 1,
    "libraries": [],
    "tether": [],
}


def look(client: docker.DockerClient, image: str, **options: Any) -> dict[str, Any]:
    """What the plugin finds that was put into an image, as somebody who may write nowhere."""
    options = {"read_only": True, "user": "1234", **options}
    found: dict[str, Any] = json.loads(run(client, image, [PYTHON, "-I", "-c", LOOK], **options))
    return found


def test_all_that_a_plugin_declares_is_there_and_runs(
    client: docker.DockerClient, build: Build, busybox: str
) -> None:
    result = build(busybox, plugin_packages=[str(PROBE)])
    [plugin] = result.plugins
    assert (plugin.name, plugin.version) == ("probe", "1.2")
    assert plugin.declaration.ports == {"page": 8123}
    assert plugin.bytes > 1e6
    assert look(client, result.tag) == SEEN
    labels = client.images.get(result.tag).labels
    assert labels["tether.plugin.probe"] == "1.2"
    parts = [layer.part for layer in result.layers]
    assert parts == ["environment", "plugin", "code", "plugin"]  # what it needs, and its code
    needs, own = (layer.bytes for layer in result.layers if layer.part == "plugin")
    assert needs == pytest.approx(plugin.needs_bytes, rel=0.05)
    assert needs + own == pytest.approx(plugin.bytes, rel=0.05)
    again = build(busybox, plugin_packages=[str(PROBE)])
    assert (again.reused, again.image_id) == (True, result.image_id)
    assert [each.reused for each in again.plugins] == [True]
    assert again.plugins[0].declaration == plugin.declaration


@pytest.mark.slow
def test_an_image_with_the_client_gets_what_it_lacks(
    client: docker.DockerClient, build: Build, busybox: str
) -> None:
    plain = build(busybox)
    result = build(plain.tag, plugin_packages=[str(PROBE)])
    assert not result.reused
    assert [layer.part for layer in result.layers] == ["plugin", "plugin"]
    assert look(client, result.tag) == SEEN
    assert build(result.tag).reused  # it has more than is asked for
    text = dry_run(plain.tag, plugin_packages=[str(PROBE)])
    assert f"COPY --from={result.plugins[0].image} /opt/tether/plugins/probe" in text


@pytest.fixture
def volumes(client: docker.DockerClient) -> Iterator[list[str]]:
    """Volumes that are removed after the test, with what says that they are filled."""
    names: list[str] = []
    yield names
    for name in names:
        fingerprint = client.volumes.get(name).attrs["Labels"]["tether.fingerprint"]
        for volume in client.volumes.list(filters={"label": f"tether.fingerprint={fingerprint}"}):
            volume.remove()


def test_a_volume_has_the_plugins_too(
    client: docker.DockerClient, build: Build, busybox: str, volumes: list[str]
) -> None:
    plain = prepare_mount(busybox, client=client)
    result = prepare_mount(busybox, client=client, plugin_packages=[str(PROBE)])
    volumes.append(result.volume)
    assert result.volume != plain.volume
    assert [each.name for each in result.plugins] == ["probe"]
    mount = [f"{result.volume}:/opt/tether:ro"]
    assert look(client, busybox, volumes=mount) == SEEN
    steps: list[BuildProgress] = []
    again = prepare_mount(busybox, plugin_packages=[str(PROBE)], progress=steps.append)
    assert again.volume == result.volume
    assert steps == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["06-musl", "07-scratch", "02-bookworm"])
def test_in_images_of_every_kind(client: docker.DockerClient, build: Build, name: str) -> None:
    case = Case.load(Path(__file__).parents[2] / "images" / name)
    result = build(image_of(case, client), plugin_packages=[str(PROBE)])
    assert look(client, result.tag) == SEEN


# What fails, and packages that come in other ways; each stage takes some seconds.


@pytest.mark.slow
@own_images
@pytest.mark.parametrize(
    ("files", "requires", "error", "said"),
    [
        (
            {"setup.sh": "echo almost\nexit 3\n", "image": 'setup = "setup.sh"'},
            "",
            BuildFailed,
            r"run the set-up of lamp, setup\.sh: it ended with exit code 3\n(.|\n)*almost",
        ),
        (
            {"image": 'apt = ["no-such-thing"]'},
            "",
            PluginInvalid,
            r"`apt` what Debian 12 \(bookworm\) has not: no-such-thing\. Correct the names",
        ),
        ({"image": 'files = { "a" = "b" }'}, "", PluginInvalid, "names 'a' in `files`"),
        ({"image": 'setup = "a"'}, "", PluginInvalid, "names the set-up 'a'"),
        ({}, "Requires-Dist: no-such-thing==0\n", BuildFailed, "no-such-thing"),
        ({}, "Requires-Python: >=3.99\n", PluginInvalid, r"it is not for Python 3\.\d+"),
        ({}, "Requires-Dist: tether-runtime>=99\n", PluginInvalid, "needs tether-runtime>=99, and"),
    ],
)
def test_what_cannot_be_a_plugin(
    client: docker.DockerClient,
    build: Build,
    busybox: str,
    tmp_path: Path,
    files: dict[str, str],
    requires: str,
    error: type[Exception],
    said: str,
) -> None:
    image = files.get("image", "")
    declaration = f'name = "lamp"\ndoor = 1\n[image]\n{image}\n'
    path = wheel(tmp_path, "lamp", requires, **{**files, "tether-plugin.toml": declaration})
    with pytest.raises(error, match=said) as caught:
        build(busybox, plugin_packages=[str(path)])
    assert caught.value.hint  # type: ignore[attr-defined]
    assert lamps(client) == []


@pytest.mark.slow
@own_images
@pytest.mark.parametrize(
    ("declaration", "said"),
    [
        ('name = "lamp"\ndoor = 2\n', "version 2 of the plugin interface"),
        ('name = "lump"\ndoor = 1\n', "its declaration 'lump'"),
        ("door = ", "is no TOML"),
    ],
)
def test_sources_that_are_no_plugin(
    build: Build, busybox: str, tmp_path: Path, declaration: str, said: str
) -> None:
    """What a source folder comes to is known in its stage only."""
    folder = sources(tmp_path / "lamp", "lamp", **{"tether-plugin.toml": declaration})
    with pytest.raises(PluginInvalid, match=said):
        build(busybox, plugin_packages=[str(folder)])


def lamps(client: docker.DockerClient) -> list[str]:
    """The images of that plugin, and what is left of their stages."""
    names = [name for image in client.api.images() for name in image["RepoTags"] or ()]
    stages = client.api.images(all=True, filters={"label": "tether.stage"})
    left = [str(each["Labels"]["tether.stage"]) for each in stages]
    return [name for name in [*names, *left] if name.startswith("tether-plugin-lamp")]


@pytest.mark.slow
@own_images
def test_a_requirement_that_no_index_has(build: Build, busybox: str) -> None:
    with pytest.raises(
        BuildFailed, match=r"pip could not get the package no-such-lamp==1"
    ) as caught:
        build(busybox, plugin_packages=["no-such-lamp==1"])
    assert "No matching distribution" in "\n".join(caught.value.data["log"])


@pytest.mark.slow
@own_images
def test_a_package_without_a_plugin(build: Build, busybox: str) -> None:
    with pytest.raises(PluginInvalid, match="has no plugin"):
        build(busybox, plugin_packages=["iniconfig"])


@pytest.mark.slow
@own_images
def test_two_packages_with_one_name(build: Build, busybox: str, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    first = wheel(tmp_path, "lamp")
    second = wheel(tmp_path / "other", "lamp", **{"other.py": ""})
    with pytest.raises(PluginInvalid, match="both have the plugin name 'lamp'"):
        build(busybox, plugin_packages=[str(first), str(second)])


@pytest.mark.slow
@own_images
def test_one_changes_and_the_others_stay(
    client: docker.DockerClient, build: Build, busybox: str, tmp_path: Path
) -> None:
    lamp, oven = wheel(tmp_path, "lamp"), wheel(tmp_path, "oven")
    first = build(busybox, plugin_packages=[str(lamp), str(oven)])
    assert [each.name for each in first.plugins] == ["lamp", "oven"]
    lamp = wheel(tmp_path, "oven", **{"more.py": "MORE = 1\n"})
    second = build(
        busybox, plugin_packages=[str(tmp_path / "lamp_package-1.0-py3-none-any.whl"), str(oven)]
    )
    made = {each.name: each.reused for each in second.plugins}
    assert made == {"lamp": True, "oven": False}
    assert [layer.reused for layer in second.layers] == [True, True, True, False]


SPLIT = """
name = "lamp"
door = 1
[image]
pip = ["iniconfig"]
files = { "shade.txt" = "share/shade.txt" }
setup = "setup.sh"
setup_files = ["bulbs"]
"""
SPLIT_SETUP = """
test ! -e shade.txt && test ! -e "$PREFIX/share"
cp bulbs/one.txt "$PREFIX/bulb"
echo made >made.txt
"""


@pytest.mark.slow
@own_images
@pytest.mark.parametrize("kind", ["wheel", "source"])
def test_what_is_needed_stays_where_the_code_changes(
    client: docker.DockerClient, build: Build, busybox: str, tmp_path: Path, kind: str
) -> None:
    make: Callable[..., Path] = wheel if kind == "wheel" else sources
    (tmp_path / "lamp").mkdir()
    files = {"tether-plugin.toml": SPLIT, "setup.sh": SPLIT_SETUP, "bulbs/one.txt": "bulb"}

    def built(**more: str) -> BuildResult:
        path = make(tmp_path / "lamp", "lamp", **{"shade.txt": "a", **files, **more})
        return build(busybox, plugin_packages=[str(path)])

    first, second = built(), built(**{"shade.txt": "b", "more.py": "MORE = 1\n"})
    assert [layer.reused for layer in second.layers] == [True, True, True, False]
    needs = [result.plugins[0].needs_image for result in (first, second)]
    assert needs[0] == needs[1]
    assert second.plugins[0].needs_reused
    folders = [client.images.get(r.tag).attrs["RootFS"]["Layers"] for r in (first, second)]
    assert folders[0][:-1] == folders[1][:-1]
    prefix = "/opt/tether/plugins/lamp"
    names = ("bulb", "share/shade.txt", "site/lamp_package/made.txt", "site/lamp_package/shade.txt")
    shown = run(client, second.tag, ["/bin/cat", *(f"{prefix}/{name}" for name in names)])
    assert shown == "bulbbmade\nb"
    load = (
        f"import sys; sys.path.insert(0, {prefix + '/site'!r}); import lamp_package.more, iniconfig"
    )
    run(client, second.tag, [PYTHON, "-I", "-c", load])
    third = built(**{"bulbs/one.txt": "another"})
    assert third.plugins[0].needs_image != needs[0]


@pytest.mark.slow
@own_images
def test_without_a_cache_it_is_made_again(
    client: docker.DockerClient, build: Build, busybox: str, tmp_path: Path
) -> None:
    path = str(wheel(tmp_path, "lamp"))
    first = build(busybox, plugin_packages=[path])
    old = client.images.get(first.plugins[0].image).id
    second = build(busybox, plugin_packages=[path], no_cache=True)
    assert second.plugins[0].image == first.plugins[0].image
    assert not second.plugins[0].reused
    assert client.images.get(first.plugins[0].image).id != old


@pytest.mark.slow
@own_images
def test_two_at_once_make_it_once(build: Build, busybox: str, tmp_path: Path) -> None:
    path = str(wheel(tmp_path, "lamp"))
    results: list[BuildResult] = []

    def once() -> None:
        results.append(build(busybox, plugin_packages=[path]))

    threads = [threading.Thread(target=once) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    layers: list[PluginLayer] = [each for result in results for each in result.plugins]
    assert sorted(each.reused for each in layers) == [False, True]


@pytest.mark.slow
@own_images
def test_an_interruption_leaves_nothing(
    client: docker.DockerClient, busybox: str, tmp_path: Path
) -> None:
    text = 'name = "lamp"\ndoor = 1\n[image]\nsetup = "setup.sh"\n'
    files = {"setup.sh": "echo size of a lamp\nsleep 300\n", "tether-plugin.toml": text}
    path = wheel(tmp_path, "lamp", **files)
    command = [sys.executable, "-m", "tether_image_builder.cli", "--plugin-package", str(path)]
    program = "from tether_image_builder.cli import main; main()"
    command = [sys.executable, "-c", program, "--plugin-package", str(path), busybox]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as it:
        assert it.stdout is not None
        for line in it.stdout:
            if "size of a lamp" in line:
                it.send_signal(signal.SIGINT)
                break
        rest = it.stdout.read()
    assert it.returncode == 130, rest
    assert lamps(client) == []


@pytest.mark.slow
@own_images
def test_prune_takes_what_nobody_has(
    build: Build, busybox: str, tmp_path: Path, client: docker.DockerClient
) -> None:
    text = 'name = "lamp"\ndoor = 1\n[image]\npip = ["iniconfig"]\n'
    path = wheel(tmp_path, "lamp", **{"tether-plugin.toml": text})
    result = build(busybox, plugin_packages=[str(path)])
    [plugin] = result.plugins
    assert plugin.needs_image is not None
    patterns = ("tether-plugin-lamp*", f"{result.tag.split(':')[0]}*")
    kept = {each.name: each.reason for each in prune_images(*patterns).kept}
    assert kept[plugin.image] == kept[plugin.needs_image] == "what stays has it"
    volume = prepare_mount(busybox, plugin_packages=[str(path)]).volume
    plain = prepare_mount(busybox).volume
    removed = prune_images(f"{volume.rpartition('-')[0]}-*", plain).removed
    assert {each.kind for each in removed} == {"volume"}
    assert len(removed) == 2  # and what said that it is filled
    assert volume in {each.name for each in removed}
    gone = prune_images(*patterns, everything=True)
    assert {each.kind for each in gone.removed} == {"image", "plugin"}
    for name in (plugin.image, plugin.needs_image):
        with pytest.raises(docker.errors.ImageNotFound):
            client.images.get(name)


@pytest.mark.slow
@own_images
def test_all_plugins_of_a_package(
    client: docker.DockerClient, build: Build, busybox: str, tmp_path: Path
) -> None:
    path = wheel(tmp_path, "lamp")
    more = package("oven")
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    info = "lamp_package-1.0.dist-info"
    files[f"{info}/entry_points.txt"] += b"oven = oven_package\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in {**files, **more}.items():
            archive.writestr(name, content)
    path.write_bytes(buffer.getvalue())
    result = build(busybox, plugin_packages=[str(path)])
    assert [each.name for each in result.plugins] == ["lamp", "oven"]
    assert len({each.image for each in result.plugins}) == 1
    listed = run(client, result.tag, ["/bin/ls", "/opt/tether/plugins"])
    assert listed.split() == ["lamp", "oven"]


@pytest.mark.slow
@own_images
def test_the_command_tells_all_of_it(build: Build, busybox: str, names: list[str]) -> None:
    command = [str(Path(sys.executable).parent / "runtime-build"), "--output", "json"]
    done = subprocess.run(
        [*command, "--plugin-package", str(PROBE), busybox], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    names.append(told["tag"])
    [plugin] = told["plugins"]
    assert (plugin["name"], plugin["declaration"]["summary"]) == (
        "probe",
        "What the builder's tests look for",
    )
    assert "plugin probe" in done.stderr


@pytest.mark.slow
@own_images
def test_a_link_that_leads_out(build: Build, busybox: str, tmp_path: Path) -> None:
    text = 'name = "lamp"\ndoor = 1\n[image]\nsetup = "setup.sh"\n'
    setup = 'ln -s /bin/sh "$PREFIX/bin/sh"\n'
    path = wheel(tmp_path, "lamp", **{"setup.sh": setup, "tether-plugin.toml": text})
    with pytest.raises(PluginInvalid, match=r"bin/sh leads to .*, outside of"):
        build(busybox, plugin_packages=[str(path)])
    shutil.rmtree(tmp_path)


@pytest.fixture
def index(
    client: docker.DockerClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A folder with wheels that build stages find as this machine's index."""
    folder = tmp_path / "simple"
    (folder / "lamp-package").mkdir(parents=True)
    address = engine_address(client, "bridge")
    assert address is not None
    handler = partial(QuietHandler, directory=str(tmp_path))
    with ThreadingHTTPServer((address, 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        host, port = server.server_address[:2]
        monkeypatch.setenv("PIP_INDEX_URL", f"http://{host!s}:{port}/simple")
        monkeypatch.setenv("PIP_TRUSTED_HOST", str(host))
        yield folder / "lamp-package"
        server.shutdown()
        thread.join()


class QuietHandler(SimpleHTTPRequestHandler):
    """Lists folders, and says nothing on this process's output."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.mark.slow
@own_images
def test_a_requirement_is_looked_up_where_this_machine_does(
    client: docker.DockerClient, build: Build, busybox: str, index: Path, install: Install
) -> None:
    wheel(index, "lamp")
    result = build(busybox, plugin_packages=["lamp_package<2"])
    assert [(each.name, each.version) for each in result.plugins] == [("lamp", "1.0")]
    install("lamp")  # here in version 3.0, which the index has not
    with pytest.raises(BuildFailed, match=r"get the plugin 'lamp' of lamp_package 3\.0(.|\n)*3\.0"):
        build(busybox, plugins=["lamp"])


@pytest.mark.slow
@own_images
def test_one_that_is_installed_in_another_way_is_brought_as_it_is(
    client: docker.DockerClient, build: Build, busybox: str, install: Install
) -> None:
    install("lamp", None, {"url": "file:///gone/lamp.whl", "archive_info": {}}, "bulb.py")
    result = build(busybox, plugins=["lamp"])
    assert [(each.name, each.version) for each in result.plugins] == [("lamp", "3.0")]
    path = "/opt/tether/plugins/lamp/site/lamp_package/bulb.py"
    assert run(client, result.tag, ["/bin/cat", path]) == "bulb.py"


@pytest.mark.slow
@own_images
def test_an_image_of_its_name_that_is_for_another_environment(
    client: docker.DockerClient, build: Build, busybox: str, tmp_path: Path
) -> None:
    """As one that was loaded here, and named so."""
    path = str(wheel(tmp_path, "lamp"))
    text = dry_run(busybox, plugin_packages=[path])
    [tag] = re.findall(r"^# (tether-plugin-\S+)", text, re.MULTILINE)
    client.api.tag(busybox, *tag.split(":"))
    try:
        with pytest.raises(PluginInvalid, match="is for the environment None") as caught:
            build(busybox, plugin_packages=[path])
    finally:
        client.images.remove(tag)
    assert "Remove that image" in caught.value.hint


@pytest.mark.slow
@own_images
def test_one_of_several_fails(
    client: docker.DockerClient, build: Build, busybox: str, tmp_path: Path
) -> None:
    """The other is being made meanwhile, and is ended; nothing of either stays."""
    text = 'name = "{}"\ndoor = 1\n[image]\nsetup = "setup.sh"\n'
    files = {"setup.sh": "echo size of a lamp\nsleep 300\n"}
    lamp = wheel(tmp_path, "lamp", **files, **{"tether-plugin.toml": text.format("lamp")})
    files = {"setup.sh": "false\n", "tether-plugin.toml": text.format("oven")}
    oven = wheel(tmp_path, "oven", **files)
    said: list[str] = []
    with pytest.raises(BuildFailed, match=r"run the set-up of oven, setup\.sh") as caught:
        build(
            busybox,
            plugin_packages=[str(lamp), str(oven)],
            progress=lambda step: said.append(str(step)),
        )
    assert "oven" in str(caught.value)
    assert any(line.startswith("lamp-package: ") for line in said)
    assert any(line.startswith("oven-package: run the set-up of oven") for line in said)
    assert lamps(client) == []
    stages = client.api.images(all=True, filters={"label": "tether.stage"})
    labels = [str(each["Labels"]["tether.stage"]) for each in stages]
    assert not [name for name in labels if name.startswith("tether-plugin-oven")]


@pytest.mark.slow
@own_images
def test_stages_side_by_side_share_no_step(
    client: docker.DockerClient, build: Build, busybox: str, tmp_path: Path
) -> None:
    """One that fails takes its steps away, and the other one goes on."""
    text = 'name = "oven"\ndoor = 1\n[image]\nsetup = "missing.sh"\n'
    lamp, oven = wheel(tmp_path, "lamp"), wheel(tmp_path, "oven", **{"tether-plugin.toml": text})
    first: dict[str, set[str]] = {"lamp": set(), "oven": set()}

    def seen(name: str, path: Path) -> None:
        with contextlib.suppress(PluginInvalid):
            build(busybox, plugin_packages=[str(path)], progress=lambda _: look_up(name))

    def look_up(name: str) -> None:
        for image in client.api.images(all=True, filters={"label": "tether.stage"}):
            if image["Labels"]["tether.stage"].startswith(f"tether-plugin-{name}"):
                first[name].add(str(image["ParentId"]))

    threads = [
        threading.Thread(target=seen, args=each) for each in (("lamp", lamp), ("oven", oven))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert first["lamp"]
    assert first["oven"]
    assert not first["lamp"] & first["oven"]
