"""The plugins that are installed in this Python, found by their entry points, never imported."""

from __future__ import annotations

import re
import site
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.machinery import ModuleSpec
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution, entry_points
from pathlib import Path

from ..protocol.errors import PluginInvalid
from .declaration import FILE, GROUP, Declaration, parse_declaration
from .installed import InstalledPlugin


@dataclass(frozen=True, slots=True)
class PluginPackage:
    """A plugin's package as it is installed here.

    Attributes:
        declaration: what the plugin says of itself.
        distribution, version: of the package, as pip knows it.
        package: as Python imports it; `folder` has its files, those of the declaration too.
    """

    declaration: Declaration
    distribution: str
    version: str
    package: str
    folder: Path

    def in_place(self) -> InstalledPlugin:
        """What a client needs that runs by this same Python.

        A plugin's process takes nothing from PYTHONPATH and the user's own packages: where the
        package is found by those, its place is named.
        """
        place = self.folder.parents[self.package.count(".")].resolve()
        known = place in [Path(folder).resolve() for folder in site.getsitepackages()]
        return InstalledPlugin(
            declaration=self.declaration, version=self.version, path=() if known else (str(place),)
        )

    @property
    def missing(self) -> tuple[str, ...]:
        """Which of its declaration's `pip` this Python lacks. In an image they are beside it.

        Only names are looked at, and nothing that is wanted under some condition.
        """
        wanted = [one for one in self.declaration.image.pip if ";" not in one]
        return tuple(one for one in wanted if not _is_installed(one))

    @property
    def absent(self) -> tuple[str, ...]:
        """The package's own modules that the declaration names and that are not there."""
        named = sorted(self.declaration.modules)
        return tuple(one for one in named if not self._has(one.split(".")))

    def _has(self, module: list[str]) -> bool:
        """Whether a module is there, or is none of this package."""
        own = self.package.split(".")
        if module[: len(own)] != own:
            return True
        place = self.folder.joinpath(*module[len(own) :])
        return place.is_dir() or any(place.parent.glob(f"{place.name}.*"))


def _is_installed(requirement: str) -> bool:
    name = re.match(r"[A-Za-z0-9._-]*", requirement)
    try:
        return bool(name and name[0] and distribution(name[0]))
    except PackageNotFoundError:
        return False


def plugin_packages() -> dict[str, PluginPackage | PluginInvalid]:
    """What is installed, by name, and why one of them cannot be used. Some milliseconds."""
    by_name: dict[str, list[EntryPoint]] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        by_name.setdefault(entry.name, []).append(entry)
    return {name: _only(entries) for name, entries in by_name.items()}


def _only(entries: list[EntryPoint]) -> PluginPackage | PluginInvalid:
    if len(entries) > 1:
        brought = sorted(entry.dist.name if entry.dist else entry.value for entry in entries)
        return PluginInvalid(
            f"{len(brought)} packages bring a plugin {entries[0].name!r}: {', '.join(brought)}",
            hint="Uninstall all but one of them",
        )
    try:
        return _read(entries[0])
    except PluginInvalid as problem:
        return problem


def find_plugin(name: str) -> PluginPackage:
    """The package of one plugin; raises `PluginInvalid`, which names those there are."""
    known = plugin_packages()
    found = known.get(name)
    if found is None:
        raise no_such_plugin(name, known)
    if isinstance(found, PluginInvalid):
        raise found
    return found


def no_such_plugin(name: str, known: Iterable[str]) -> PluginInvalid:
    """The error for a name that no installed package has."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    listed = f"there are {', '.join(names)}" if names else "there is none"
    return PluginInvalid(
        f"no plugin {name!r:.100} is installed here; {listed}",
        hint=f"Did you mean {near[0]!r}?"
        if near
        else "Install the package that brings it (pip install) beside Tether, or give its path",
    )


def _read(entry: EntryPoint) -> PluginPackage:
    folder = package_folder(entry.module)
    if folder is None:
        raise PluginInvalid(f"the plugin {entry.name!r} names no package: {entry.value}")
    try:
        text = (folder / FILE).read_text()
    except (OSError, UnicodeDecodeError) as problem:
        raise PluginInvalid(
            f"the declaration of {entry.name!r} cannot be read: {problem}"
        ) from None
    declaration = parse_declaration(text, folder / FILE)
    if declaration.name != entry.name:
        raise PluginInvalid(
            f"the plugin {entry.name!r} calls itself {declaration.name!r} in {folder / FILE}",
            hint="Its entry point and its declaration have to have one name",
        )
    dist = entry.dist
    return PluginPackage(
        declaration=declaration,
        distribution=dist.name if dist is not None else "",
        version=dist.version if dist is not None else "",
        package=entry.module,
        folder=folder,
    )


def package_folder(package: str) -> Path | None:
    """Where a package's files are. Neither it nor what is above it is imported."""
    path: list[str] | None = None
    name = ""
    for part in package.split("."):
        name = f"{name}.{part}" if name else part
        spec = _spec(name, path)
        if spec is None or spec.submodule_search_locations is None:
            return None
        try:
            path = list(spec.submodule_search_locations)
        except KeyError:  # a namespace below a package that is not imported
            return None
    folders = [Path(place) for place in path or () if (Path(place) / FILE).is_file()]
    return folders[0] if folders else Path(path[0]) if path else None


def _spec(name: str, path: list[str] | None) -> ModuleSpec | None:
    """As `importlib.util.find_spec` does it, which would import what is above."""
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        spec = find(name, path) if find is not None else None
        if isinstance(spec, ModuleSpec):
            return spec
    return None
