"""What a recipe's folder must be, and what is said of one that is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tether_image_builder.errors import EnvironmentUnavailable
from tether_image_builder.manifest import Recipe

GOOD = 'name = "mine"\nsummary = "my own"\nplatforms = ["linux/amd64"]\n'


def folder(tmp_path: Path, manifest: str = GOOD, **files: str) -> Path:
    recipe = tmp_path / "recipe"
    recipe.mkdir()
    for name, text in {"recipe.toml": manifest, "Dockerfile": "FROM x\n", **files}.items():
        (recipe / name).write_text(text)
    return recipe


def refused(path: Path) -> str:
    with pytest.raises(EnvironmentUnavailable) as caught:
        Recipe.load(path)
    assert caught.value.message.startswith(f"{path} is no recipe for a runtime environment: ")
    return str(caught.value)


def test_a_recipe_has_all_files_of_its_folder(tmp_path: Path) -> None:
    path = folder(tmp_path, install="x")
    (path / "more").mkdir()
    (path / "more" / "file").write_text("y")
    (path / "__pycache__").mkdir()
    (path / "__pycache__" / "x.pyc").write_text("z")
    recipe = Recipe.load(path)
    assert sorted(recipe.files) == ["Dockerfile", "install", "more/file", "recipe.toml"]
    assert (recipe.manifest.name, recipe.manifest.suits) == ("mine", "any")


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        ("name = ", "recipe.toml is no TOML"),
        (GOOD + "colour = 1\n", "colour: Extra inputs are not permitted"),
        (GOOD.replace("mine", "Mine"), "name: String should match"),
        (GOOD.replace("mine", "auto"), "no recipe can be called auto"),
        (GOOD.replace("mine", "mine-base"), "no recipe can be called mine-base"),
        (GOOD.replace('"linux/amd64"', ""), "platforms: "),
        (GOOD.replace("linux/amd64", "linux"), "platforms.0: String should match"),
        (GOOD + 'suits = "glibc"\n', '`glibc` is given with `suits = "glibc"`'),
        (GOOD + 'glibc = "2.28"\n', '`glibc` is given with `suits = "glibc"`'),
        (GOOD + "[arguments.BASE]\n", "the argument BASE is set by runtime-build"),
        (GOOD + "[arguments.lower]\n", "arguments.lower.[key]: String should match"),
        (GOOD + 'needs = "URL"\n', "`needs` names URL, which is none of the arguments"),
    ],
)
def test_a_broken_manifest(tmp_path: Path, manifest: str, reason: str) -> None:
    message = refused(folder(tmp_path, manifest))
    assert reason in message
    assert "docs/recipes.md" in message


def test_what_a_folder_must_not_have(tmp_path: Path) -> None:
    path = folder(tmp_path)
    (path / "away").symlink_to("/etc/passwd")
    assert "away is a symbolic link" in refused(path)
    (path / "away").unlink()
    (path / "host").mkdir()
    (path / "host" / "file").write_text("")
    assert "host/file has the name of what runtime-build adds" in refused(path)
    (path / "host" / "file").unlink()
    (path / "Dockerfile").unlink()
    assert "there is no Dockerfile in it" in refused(path)
    assert "there is no recipe.toml in it" in refused(tmp_path)


ARGUMENTS = (
    GOOD
    + """
[arguments.VERSION]
default = "1.0"
variable = "MY_VERSION"
[arguments.URL]
default = "https://example.invalid/{VERSION}/{machine}.sh"
[arguments.SUM]
default."linux/amd64" = "aa"
default."linux/arm64" = "bb"
"""
)


def test_arguments_come_from_defaults_variables_and_the_user(tmp_path: Path) -> None:
    recipe = Recipe.load(folder(tmp_path, ARGUMENTS))
    assert recipe.arguments("linux/amd64", {}, {}) == {
        "VERSION": "1.0",
        "URL": "https://example.invalid/1.0/x86_64.sh",
        "SUM": "aa",
    }
    variables = {"MY_VERSION": "2.0", "SUM": "ignored"}
    found = recipe.arguments("linux/arm64", variables, {"OTHER": "ignored"})
    assert (found["URL"], found["SUM"]) == ("https://example.invalid/2.0/aarch64.sh", "bb")
    assert recipe.arguments("linux/arm64", variables, {"VERSION": "3.0"})["VERSION"] == "3.0"
    assert recipe.arguments("linux/riscv64", {}, {})["SUM"] == ""


def test_a_placeholder_for_nothing(tmp_path: Path) -> None:
    recipe = Recipe.load(folder(tmp_path, ARGUMENTS.replace("{VERSION}", "{NOTHING}")))
    with pytest.raises(EnvironmentUnavailable, match=r"{NOTHING} in .* is no argument"):
        recipe.arguments("linux/amd64", {}, {})
