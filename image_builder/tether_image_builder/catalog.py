"""Where recipes are found: built in, a folder that is named, or a package's entry point."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from . import recipes
from .errors import recipe_invalid
from .manifest import MANIFEST, Recipe

AUTO = "auto"
BUILT_IN = ("miniforge", "portable")
# Names the recipe that is meant where `auto` is asked for.
RECIPE_VARIABLE = "TETHER_RECIPE"
GROUP = "tether.recipes"


def recipe_names() -> tuple[str, ...]:
    """What `--env` takes besides a folder: `auto`, the built-in recipes, those of packages."""
    return (AUTO, *BUILT_IN, *sorted(_entries()))


def find_recipe(env: str) -> Recipe:
    """The recipe of a name or a folder.

    Args:
        env: a name, or a path: anything with a slash in it, or a folder that has a `recipe.toml`.

    Raises:
        EnvironmentUnavailable: it is there and is no recipe.
        ValueError: there is none of that name.
    """
    if env in BUILT_IN:
        return Recipe.load(recipes.recipes_folder() / env)
    if "/" in env or (Path(env) / MANIFEST).is_file():
        return _named(Recipe.load(Path(env).expanduser().absolute()))
    if (entry := _entries().get(env)) is not None:
        return _of_entry(entry)
    raise ValueError(
        f"there is no environment {env!r}; there are {', '.join(recipe_names())}, and a recipe's"
        " folder can be named by its path"
    )


def _named(recipe: Recipe) -> Recipe:
    """A recipe of somebody else's, which has no built-in one's name."""
    if recipe.manifest.name in BUILT_IN:
        raise recipe_invalid(recipe.folder, f"{recipe.manifest.name} is the name of a built-in one")
    return recipe


def _entries() -> Mapping[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        other = found.setdefault(entry.name, entry)
        if entry.name in (AUTO, *BUILT_IN):
            raise recipe_invalid(_owner(entry), f"{entry.name} is the name of a built-in one")
        if other.value != entry.value:
            owners = f"{_owner(other)} and {_owner(entry)}"
            raise recipe_invalid(owners, f"both call a recipe {entry.name}")
    return found


def _owner(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.value


def _of_entry(entry: EntryPoint) -> Recipe:
    """The recipe in a package's folder, found without importing the package."""
    package, *below = entry.module.split(".")
    try:
        folder = recipes.package_folder(package).joinpath(*below)
    except ModuleNotFoundError as problem:
        raise recipe_invalid(f"{_owner(entry)} ({entry.value})", str(problem)) from None
    recipe = Recipe.load(folder)
    if recipe.manifest.name != entry.name:
        raise recipe_invalid(
            folder, f"it calls itself {recipe.manifest.name} and its package {entry.name}"
        )
    return recipe
