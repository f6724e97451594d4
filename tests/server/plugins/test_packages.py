"""Which plugins are taken from what is installed here, and which from packages that were named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tether_server.plugins.packages import from_here

PYPROJECT = """
[project]
name = "{name}"
[project.entry-points."tether.plugins"]
{plugin} = "a_package"
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PYPROJECT.format(name="another", plugin="tides"))
    return folder


def test_without_packages_all_are(installed: Path) -> None:
    assert from_here(["tides", "moon"], []) == ("tides", "moon")  # the builder refuses the second


def test_what_is_not_installed_is_brought(installed: Path) -> None:
    assert from_here(["tides", "moon"], ["some-moon>=1"]) == ("tides",)


@pytest.mark.parametrize(
    "package",
    [
        "some-tides",
        "Some_Tides[x]==1.2",
        "some.tides @ https://example.com/some_tides.whl",
        "/srv/some_tides-1.3-py3-none-any.whl",
    ],
)
def test_a_named_package_brings_its_own(installed: Path, package: str) -> None:
    assert from_here(["tides"], [package]) == ()


def test_a_folder_says_what_it_brings(installed: Path, source: Path) -> None:
    assert from_here(["tides"], [str(source)]) == ()
    text = PYPROJECT.format(name="some_tides", plugin="waves")
    (source / "pyproject.toml").write_text(text)
    assert from_here(["tides"], [str(source)]) == ()


@pytest.mark.parametrize("text", ["[project", "project = 7", '[project]\nentry-points = "x"'])
def test_what_a_broken_folder_brings_is_for_the_builder(
    installed: Path, source: Path, text: str
) -> None:
    (source / "pyproject.toml").write_text(text)
    assert from_here(["tides"], [str(source)]) == ("tides",)
    assert from_here(["tides"], ["./no-such-folder"]) == ("tides",)
