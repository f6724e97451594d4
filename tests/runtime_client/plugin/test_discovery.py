"""Installed plugins are found by their entry points, and nothing of them is imported for that."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tether_runtime_client.plugin.discovery import find_plugin, package_folder, plugin_packages
from tether_runtime_client.protocol.errors import PluginInvalid

DECLARATION = 'name = "{name}"\ndoor = 1\nsummary = "Tells the weather."\n'


def install(site: Path, name: str, package: str, declaration: str | None = None) -> Path:
    """A package as pip installs it, whose code must not run."""
    folder = site
    for part in package.split("."):
        folder = folder / part
        folder.mkdir(exist_ok=True)
        (folder / "__init__.py").write_text("raise AssertionError('imported')\n")
    (folder / "tether-plugin.toml").write_text(declaration or DECLARATION.format(name=name))
    info = site / f"{package.replace('.', '_')}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: of-{package}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[tether.plugins]\n{name} = {package}\n")
    return folder


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_a_package_is_found_and_not_imported(site: Path) -> None:
    folder = install(site, "weather", "some_weather.inner")
    found = find_plugin("weather")
    assert found.folder == folder
    assert (found.distribution, found.version) == ("of-some_weather.inner", "1.2")
    assert found.declaration.summary == "Tells the weather."
    assert found.in_place().version == "1.2"
    assert found.in_place().path == (str(site),)
    assert not [name for name in sys.modules if name.startswith("some_weather")]


def test_a_name_that_nobody_has_is_told_with_the_nearest(site: Path) -> None:
    install(site, "weather", "some_weather")
    with pytest.raises(PluginInvalid, match=r"no plugin 'wether' .*weather") as refusal:
        find_plugin("wether")
    assert refusal.value.hint == "Did you mean 'weather'?"


def test_without_a_near_one_it_says_how_to_get_one(site: Path) -> None:
    with pytest.raises(PluginInvalid) as refusal:
        find_plugin("zzzzzzzz")
    assert "pip install" in refusal.value.hint


@pytest.mark.parametrize(
    ("declaration", "message"),
    [
        ("name = ", "is no TOML"),
        ('name = "other"\ndoor = 1\n', "calls itself 'other'"),
        ('name = "weather"\ndoor = 99\n', "version 99 of the plugin interface"),
        ('name = "weather"\ndoor = 1\nactoins = {}\n', "actoins"),
    ],
)
def test_one_that_cannot_be_used_says_why_and_leaves_the_others(
    site: Path, declaration: str, message: str
) -> None:
    install(site, "weather", "some_weather", declaration)
    install(site, "tides", "some_tides")
    with pytest.raises(PluginInvalid, match=message):
        find_plugin("weather")
    assert find_plugin("tides").declaration.name == "tides"


def test_one_without_a_declaration_or_a_package_says_so(site: Path) -> None:
    (install(site, "weather", "some_weather") / "tether-plugin.toml").unlink()
    with pytest.raises(PluginInvalid, match=r"declaration of 'weather' cannot be read"):
        find_plugin("weather")
    (site / "some_weather" / "__init__.py").unlink()
    (site / "some_weather").rmdir()
    (site / "some_weather.py").write_text("")
    with pytest.raises(PluginInvalid, match="names no package: some_weather"):
        find_plugin("weather")


def test_two_packages_of_one_name_are_refused(site: Path) -> None:
    install(site, "weather", "some_weather")
    install(site, "weather", "other_weather")
    found = plugin_packages()["weather"]
    assert isinstance(found, PluginInvalid)
    assert "of-other_weather, of-some_weather" in found.message


def test_a_package_in_a_namespace_is_found(site: Path) -> None:
    folder = install(site, "weather", "some_space.weather")
    (site / "some_space" / "__init__.py").unlink()
    assert package_folder("some_space.weather") == folder


def test_what_is_declared_and_not_installed_is_named(site: Path) -> None:
    declaration = DECLARATION.format(name="weather") + (
        "[image]\npip = ['pydantic>=2', 'some_weather.inner', 'No-Such_Thing[x]>=3',"
        " 'another ; python_version < \"3\"', './folder']\n"
    )
    install(site, "weather", "some_weather", declaration)
    assert find_plugin("weather").missing == (
        "some_weather.inner",
        "No-Such_Thing[x]>=3",
        "./folder",
    )


def test_modules_that_are_declared_and_not_there_are_named(site: Path) -> None:
    declaration = DECLARATION.format(name="weather") + (
        "entry = 'some_weather.inner.plugin:P'\nskills = ['some_weather.inner', 'elsewhere.x',"
        " 'some_weather.inner.skils']\n"
        "[commands]\nweather = 'some_weather.inner.cli:main'\n"
        "w = 'some_weather.inner.deep.w:main'\n"
    )
    folder = install(site, "weather", "some_weather.inner", declaration)
    (folder / "plugin.cpython-311-x86_64-linux-gnu.so").touch()
    (folder / "deep" / "w").mkdir(parents=True)
    absent = ("some_weather.inner.cli", "some_weather.inner.skils")
    assert find_plugin("weather").absent == absent
