"""Where recipes are found, and that names keep apart."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tether_image_builder.catalog import find_recipe, recipe_names
from tether_image_builder.errors import EnvironmentUnavailable

MANIFEST = 'name = "{}"\nsummary = "my own"\nplatforms = ["linux/amd64"]\n'


def recipe(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text(MANIFEST.format(name))
    (folder / "Dockerfile").write_text("FROM scratch\n")
    return folder


def package(site: Path, name: str, entry_points: str) -> None:
    """An installed package with recipes; importing it is an error."""
    (site / name).mkdir(parents=True)
    (site / name / "__init__.py").write_text("raise SystemExit('imported')\n")
    record = site / f"{name}-1.0.dist-info"
    record.mkdir()
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (record / "entry_points.txt").write_text(f"[tether.recipes]\n{entry_points}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return tmp_path / "site"


def test_built_in() -> None:
    assert recipe_names()[:3] == ("auto", "miniforge", "portable")
    assert find_recipe("portable").manifest.suits == "any"
    assert find_recipe("miniforge").manifest.suits == "glibc"


def test_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = recipe(tmp_path / "mine", "mine")
    assert find_recipe(str(folder)).manifest.name == "mine"
    monkeypatch.chdir(tmp_path)
    assert find_recipe("./mine").folder == folder
    assert find_recipe("mine").folder == folder
    with pytest.raises(EnvironmentUnavailable, match=r"there is no recipe\.toml in it"):
        find_recipe("./yours")
    with pytest.raises(ValueError, match=r"no environment 'yours'; there are auto, miniforge, por"):
        find_recipe("yours")


def test_a_folder_cannot_take_a_built_in_name(tmp_path: Path) -> None:
    folder = recipe(tmp_path / "mine", "portable")
    with pytest.raises(EnvironmentUnavailable, match="portable is the name of a built-in one"):
        find_recipe(str(folder))


def test_a_package_is_not_imported_for_its_recipe(site: Path) -> None:
    package(site, "their_package", "theirs = their_package.recipes.theirs")
    folder = recipe(site / "their_package/recipes/theirs", "theirs")
    assert "theirs" in recipe_names()
    assert find_recipe("theirs").folder == folder
    assert "their_package" not in sys.modules


def test_names_of_packages_do_not_collide(site: Path) -> None:
    package(site, "one", "same = one.recipe")
    package(site, "two", "same = two.recipe")
    with pytest.raises(EnvironmentUnavailable, match="both call a recipe same"):
        find_recipe("same")


@pytest.mark.parametrize("name", ["auto", "portable"])
def test_a_package_cannot_take_a_built_in_name(site: Path, name: str) -> None:
    package(site, "one", f"{name} = one.recipe")
    with pytest.raises(EnvironmentUnavailable, match=f"{name} is the name of a built-in one"):
        recipe_names()
    assert find_recipe("portable").manifest.name == "portable"  # which asks no package


def test_a_package_and_its_recipe_agree_on_the_name(site: Path) -> None:
    package(site, "one", "theirs = one.recipe\ngone = absent_package.recipe")
    recipe(site / "one/recipe", "other")
    with pytest.raises(EnvironmentUnavailable, match="calls itself other and its package theirs"):
        find_recipe("theirs")
    with pytest.raises(EnvironmentUnavailable, match="absent_package is not installed"):
        find_recipe("gone")
