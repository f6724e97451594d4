"""What a wheel says of its plugins is read without a stage."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tether_image_builder.plugins.asked import package_source
from tether_runtime_client.protocol.errors import PluginInvalid

from .packages import wheel


def test_its_declarations_are_known(tmp_path: Path) -> None:
    [declaration] = package_source(str(wheel(tmp_path, "lamp"))).declarations
    assert (declaration.name, declaration.door) == ("lamp", 1)


def test_modules_of_other_packages_are_not_looked_for(tmp_path: Path) -> None:
    declaration = 'name = "lamp"\ndoor = 1\nskills = ["lamp_package.light", "other.skill"]\n'
    files = {"tether-plugin.toml": declaration, "light.py": ""}
    [found] = package_source(str(wheel(tmp_path, "lamp", **files))).declarations
    assert found.modules == {"lamp_package.light", "other.skill"}


def test_one_that_is_installed_from_elsewhere_in_the_archive(tmp_path: Path) -> None:
    path = wheel(tmp_path, "lamp")
    moved = tmp_path / "moved" / path.name
    moved.parent.mkdir()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(moved, "w") as new:
        for name in old.namelist():
            data = "lamp_package-1.0.data/purelib/"
            inside = name if ".dist-info/" in name else f"{data}{name}"
            new.writestr(inside, old.read(name))
    assert [each.name for each in package_source(str(moved)).declarations] == ["lamp"]


@pytest.mark.parametrize(
    ("declaration", "said"),
    [
        ('name = "lamp"\ndoor = 2\n', "version 2 of the plugin interface"),
        ('name = "lump"\ndoor = 1\n', "its declaration 'lump'"),
        ("door = ", "is no TOML"),
        ("#" * (2 << 20), "is too large"),
        ('name = "lamp"\ndoor = 1\nskills = ["lamp_package.no"]\n', r"lamp_package\.no"),
        ('name = "lamp"\ndoor = 1\n[image]\nfiles = { "../x" = "y" }\n', "stay below"),
        ('name = "lamp"\ndoor = 1\n[image]\napt = ["--yes"]\n', "apt"),
    ],
)
def test_a_declaration_that_cannot_be_used(tmp_path: Path, declaration: str, said: str) -> None:
    path = wheel(tmp_path, "lamp", **{"tether-plugin.toml": declaration})
    with pytest.raises(PluginInvalid, match=said):
        package_source(str(path))


@pytest.mark.parametrize(
    ("left_out", "said"),
    [
        ("entry_points.txt", "has no plugin"),
        ("tether-plugin.toml", r"has no lamp_package/tether-plugin\.toml"),
        (".dist-info/", "is no wheel"),
    ],
)
def test_a_wheel_that_lacks_something(tmp_path: Path, left_out: str, said: str) -> None:
    path = wheel(tmp_path, "lamp")
    with zipfile.ZipFile(path) as old:
        files = {name: old.read(name) for name in old.namelist() if left_out not in name}
    with zipfile.ZipFile(path, "w") as new:
        for name, content in files.items():
            new.writestr(name, content)
    with pytest.raises(PluginInvalid, match=said):
        package_source(str(path))


def test_what_is_no_archive(tmp_path: Path) -> None:
    path = tmp_path / "lamp-1.0-py3-none-any.whl"
    path.write_text("no")
    with pytest.raises(PluginInvalid, match="cannot be read as a wheel"):
        package_source(str(path))
