"""What is asked for is found without importing or running anything of it."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path

import pytest

from tether_image_builder.plugins.asked import (
    package_source,
    plugin_sources,
    split_packages,
)
from tether_image_builder.plugins.source import PluginSource
from tether_runtime_client.protocol.errors import PluginInvalid

from .conftest import PROBE, Install


def only(*names: str, packages: tuple[str, ...] = ()) -> PluginSource:
    [source] = plugin_sources(names, packages)
    return source


def order(source: PluginSource) -> dict[str, str | None]:
    return {str(name): value for name, value in json.loads(source.context["order.json"]).items()}


def test_what_came_from_an_index_comes_from_there_again(install: Install) -> None:
    install("lamp")
    asked = order(only("lamp"))
    assert (asked["kind"], asked["requirement"]) == ("requirement", "lamp_package==3.0")
    assert asked["plugin"] == "lamp"


def test_what_was_installed_from_a_folder_comes_from_there(
    install: Install, tmp_path: Path
) -> None:
    sources = shutil.copytree(PROBE, tmp_path / "sources of mine")
    install("lamp", None, {"url": sources.as_uri(), "dir_info": {"editable": True}})
    source = only("lamp")
    assert order(source)["kind"] == "source"
    assert "source/tether_probe/setup.sh" in source.files
    assert source.executable == {"source/tether_probe/data/greet"}


def test_what_was_copied_from_a_folder_comes_as_it_was_copied(
    install: Install, tmp_path: Path
) -> None:
    """The folder may have changed since, and this machine knows what it has."""
    sources = shutil.copytree(PROBE, tmp_path / "sources")
    install("lamp", None, {"url": sources.as_uri(), "dir_info": {}})
    install("oven", None, {"url": sources.as_uri(), "dir_info": {}}, "fast.so")
    assert order(only("lamp"))["kind"] == "wheel"
    assert order(only("oven"))["kind"] == "source"  # compiled for this machine


def test_what_was_installed_from_elsewhere_is_packed_again(install: Install) -> None:
    install("lamp", None, {"url": "file:///gone/lamp-3.0.whl", "archive_info": {}}, "bulb.py")
    source = only("lamp")
    [(name, wheel)] = source.files.items()
    assert name == "wheels/lamp_package-3.0-py3-none-any.whl"
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        assert archive.read("lamp_package/bulb.py") == b"bulb.py"
        info = "lamp_package-3.0.dist-info"
        assert b"lamp = lamp_package" in archive.read(f"{info}/entry_points.txt")
        assert f"{info}/direct_url.json" not in archive.namelist()
        record = archive.read(f"{info}/RECORD").decode()
    assert "lamp_package/bulb.py,sha256=" in record


def test_what_was_made_for_this_machine_is_not_packed(install: Install) -> None:
    install("lamp", None, {"url": "https://elsewhere/", "vcs_info": {}}, "fast.so")
    with pytest.raises(PluginInvalid, match=r"fast\.so was made for this machine") as caught:
        plugin_sources(["lamp"], [])
    assert "--plugin-package" in caught.value.hint


def test_modules_that_are_declared_and_not_there(install: Install) -> None:
    install("lamp", 'skills = ["lamp_package.no"]')
    with pytest.raises(PluginInvalid, match=r"declares modules that it has not: lamp_package\.no"):
        plugin_sources(["lamp"], [])


def test_an_unknown_one_names_those_there_are(install: Install) -> None:
    install("lamp")
    with pytest.raises(PluginInvalid, match=r"no plugin 'lump'.*lamp") as caught:
        plugin_sources(["lump"], [])
    assert "'lamp'" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("lamp", "requirement"),
        ("lamp==1.0", "requirement"),
        ("lamp[bulb, shade]>=1,<2; python_version > '3'", "requirement"),
        ("lamp @ https://elsewhere.example/lamp.whl", "requirement"),
        (str(PROBE), "source"),
    ],
)
def test_a_package_is_a_requirement_or_a_path(text: str, kind: str) -> None:
    asked = order(package_source(text))
    assert (asked["kind"], asked["plugin"]) == (kind, None)


def test_extras_are_kept() -> None:
    assert package_source("lamp[bulb, shade]>=1").order["extras"] == "[bulb,shade]"


@pytest.mark.parametrize(
    "text",
    ["", "-r x", "--index-url=http://x", "lamp lamp", "./nowhere", "/etc", "x.whl", "/dev/null"],
)
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(PluginInvalid):
        package_source(text)


def test_packages_in_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert split_packages("a>=1,<2,b[x,y], ./c") == ["a>=1,<2", "b[x,y]", "./c"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a,b").mkdir()
    assert split_packages("a,b") == ["a,b"]


def test_the_same_twice_is_once(install: Install) -> None:
    install("lamp")
    assert len(plugin_sources(["lamp", "lamp"], [str(PROBE), f"{PROBE}/"])) == 2


def test_two_that_do_not_go_together(install: Install) -> None:
    install("lamp", "ports = { web = 8000 }")
    install("oven", "ports = { page = 8000 }")
    with pytest.raises(PluginInvalid, match=r"'lamp'.*and.*'oven'.*the port 8000"):
        plugin_sources(["lamp", "oven"], [])


def test_what_decides_is_in_the_fingerprint(install: Install) -> None:
    folder = install("lamp", None, {"url": "file:///gone.whl"}, "bulb.py")
    first = only("lamp").fingerprint
    assert only("lamp").fingerprint == first
    (folder / "bulb.py").write_text("other")
    second = only("lamp").fingerprint
    with (folder / "tether-plugin.toml").open("a") as file:
        file.write("summary = 'another'\n")
    assert len({first, second, only("lamp").fingerprint}) == 3
    assert package_source("lamp==1").fingerprint != package_source("lamp==2").fingerprint


def test_permission_to_execute_is_in_the_fingerprint(tmp_path: Path) -> None:
    folder = shutil.copytree(PROBE, tmp_path / "probe")
    before = package_source(str(folder)).fingerprint
    (folder / "tether_probe" / "setup.sh").chmod(0o755)
    assert package_source(str(folder)).fingerprint != before


def test_tether_itself_is_stood_in_for() -> None:
    context = package_source("lamp").context
    [wheel] = [name for name in context if name.endswith(".whl")]
    with zipfile.ZipFile(io.BytesIO(context[wheel])) as archive:
        assert all(".dist-info/" in name for name in archive.namelist())
    assert context["links/constraints.txt"].startswith(b"tether-runtime==")
    assert context["links/constraints.txt"].endswith(b"+sandbox\n")
