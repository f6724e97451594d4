"""Which images were made here by this package, and which of them are wanted."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from .catalog import AUTO, RECIPE_VARIABLE, recipe_names
from .environment import KIND_LABEL, STAGE_LABEL, EnvironmentRecipe
from .errors import TetherError
from .models import Image
from .names import FINGERPRINT_DIGITS, SUFFIX, split
from .plugins.asked import installed_sources
from .plugins.needs import BASE_LABEL, NEEDS_LABEL
from .render import FINGERPRINT_LABEL
from .spec.container import STEP_LABEL
from .spec.plan import REPOSITORY as STEP_REPOSITORY
from .with_plugins import plugin_recipes

ENVIRONMENT = "environment"
PLUGIN = "plugin"
_ENVIRONMENT_NAME = re.compile(r"tether-env-[a-z0-9-]+:[0-9a-f]{16}")
_PLUGIN_NAME = re.compile(r"tether-plugin-[a-z0-9-]+:[0-9a-f]{16}")


def is_built(image: Image) -> bool:
    """An image with the client in it, under the name that it was given here and no other.

    What is built on top of one has its labels too, but not its name. An image that came from a
    registry or an archive was built on nothing that the engine knows of.
    """
    digits = image.labels.get(FINGERPRINT_LABEL, "")[:FINGERPRINT_DIGITS]
    own = [split(name) for name in image.names]
    named = all(repository.endswith(SUFFIX) and tag == digits for repository, tag in own)
    return bool(own and digits and image.parent and named)


def is_step(image: Image) -> bool:
    """What a step of a spec made, under its own name and no other."""
    digits = image.labels.get(STEP_LABEL, "")[:FINGERPRINT_DIGITS]
    named = all(split(name) == (STEP_REPOSITORY, digits) for name in image.names)
    return bool(image.names and named and image.parent)


def is_environment(image: Image) -> bool:
    """A runtime environment's image, under its own name and no other."""
    named = all(_ENVIRONMENT_NAME.fullmatch(name) for name in image.names)
    return bool(
        image.names and named and image.parent and image.labels.get(KIND_LABEL) == ENVIRONMENT
    )


def is_plugin(image: Image) -> bool:
    """A plugin's own image, under its own name and no other."""
    named = all(_PLUGIN_NAME.fullmatch(name) for name in image.names)
    return bool(image.names and named and image.parent and image.labels.get(KIND_LABEL) == PLUGIN)


def needs_mark(image: Image) -> str:
    """Which plugin, on which environment, may want an image of what it needs; empty for another."""
    labels = image.labels
    return (
        _needs_mark(labels[NEEDS_LABEL], labels.get(BASE_LABEL, ""))
        if NEEDS_LABEL in labels
        else ""
    )


def _needs_mark(plugin: str, base: str) -> str:
    return f"what {plugin} needs on {base}"


def is_stage(image: Image) -> bool:
    """What the build of an environment left that nobody could end: killed, or without power."""
    return bool(not image.names and image.parent and STAGE_LABEL in image.labels)


def is_environment_base(image: Image) -> bool:
    """What the client's code was put onto; it can go only after what was built on it."""
    return any("-base:" in name for name in image.names)


def wanted_marks(platforms: Iterable[str]) -> set[str]:
    """Fingerprints and image names of what would be put in today: environments, and plugins that
    are installed here.
    """
    marks: set[str] = set()
    sources = installed_sources()
    names = [each.name for source in sources for each in source.declarations]
    envs = {*recipe_names(), os.environ.get(RECIPE_VARIABLE) or AUTO} - {AUTO}
    for platform in set(platforms):
        for env in envs:
            try:
                recipe = EnvironmentRecipe.load(env, platform)
            except (TetherError, ValueError):
                continue  # it is none, so nothing has it
            described = recipe.described
            marks |= {described.fingerprint, described.image, described.base_image}
            marks |= {plugin.tag for plugin in plugin_recipes(sources, recipe)}
            marks |= {_needs_mark(name, described.base_image) for name in names}
    return marks
