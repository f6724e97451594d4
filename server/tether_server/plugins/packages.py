"""Which of the plugins asked for come from what is installed here, and which from elsewhere."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

from tether_image_builder.plugins.asked import is_path
from tether_runtime_client.plugin.declaration import GROUP

from .message_classes import installed_classes


def from_here(asked: Iterable[str], packages: Sequence[str]) -> tuple[str, ...]:
    """The names of plugins that a builder is to take from what is installed here.

    A package that was named brings its plugins itself, also where another copy is installed here
    for the classes of its messages.
    """
    if not packages:
        return tuple(asked)
    brought = [_brings(text) for text in packages]
    plugins = {plugin for _, names in brought for plugin in names}
    distributions = {name for name, _ in brought}
    here = installed_classes.packages()
    return tuple(
        name
        for name in asked
        if name in here
        and name not in plugins
        and _normal(here[name].distribution) not in distributions
    )


def _brings(text: str) -> tuple[str, frozenset[str]]:
    """The package's name, and those of its plugins where a look at its source tells."""
    if not is_path(text):
        return _normal(re.split(r"[^A-Za-z0-9._-]", text.strip(), maxsplit=1)[0]), frozenset()
    path = Path(text).expanduser()
    if path.suffix == ".whl":
        return _normal(path.name.partition("-")[0]), frozenset()
    try:
        project = tomllib.loads((path / "pyproject.toml").read_text()).get("project", {})
        plugins = frozenset(project.get("entry-points", {}).get(GROUP, {}))
        return _normal(str(project.get("name", ""))), plugins
    except (OSError, ValueError, AttributeError, TypeError):  # the builder says what is wrong
        return "", frozenset()


def _normal(name: str) -> str:
    """As packages' names are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()
