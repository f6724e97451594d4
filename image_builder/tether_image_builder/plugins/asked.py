"""What is asked for with `--plugins` and `--plugin-package`, found on this machine.

Nothing of a plugin's is imported, and nothing of it runs here: a package that has to be built first
is built in the stage of its image.
"""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from tether_runtime_client.plugin.discovery import PluginPackage, find_plugin, plugin_packages
from tether_runtime_client.protocol.errors import PluginInvalid

from .. import recipes
from .conflicts import check_together
from .folders import SourceFolder, read_folder, read_package
from .source import PluginSource
from .wheel_plugins import modules_absent, wheel_plugins
from .wheels import is_portable, rebuilt, wheel_name

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_REQUIREMENT = re.compile(
    rf"(?P<name>{_NAME})\s*(?P<extras>\[[A-Za-z0-9._,\s-]*\])?\s*"
    r"(?:(?:===?|[<>~!]=|[<>])[^;@]*|@\s*[a-z+]+://\S+)?(?:\s*;.*)?"
)
_WHEEL = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+)(-\d[^-]*)?-[^-]+-[^-]+-[^-]+\.whl")


def plugin_sources(names: Iterable[str], packages: Iterable[str]) -> tuple[PluginSource, ...]:
    """What the images of plugins are to be made of, in the order of their names.

    Args:
        names: of plugins that are installed here.
        packages: pip requirements, and paths of source folders and wheels.

    Raises:
        PluginInvalid: one of them is not there, or is none, or two do not go together.
    """
    found = [installed_source(find_plugin(name)) for name in dict.fromkeys(names)]
    found += [package_source(text) for text in dict.fromkeys(packages)]
    once = {source.fingerprint: source for source in found}
    check_together((source.said, each) for source in once.values() for each in source.declarations)
    return tuple(sorted(once.values(), key=lambda source: (source.slug, source.fingerprint)))


def installed_sources() -> list[PluginSource]:
    """All the plugins that are installed here and can be used."""
    packages = plugin_packages().values()
    sources = []
    for package in packages:
        try:
            if not isinstance(package, PluginInvalid):
                sources.append(installed_source(package))
        except PluginInvalid:
            continue  # nothing can have been made of it
    return sources


def installed_source(package: PluginPackage) -> PluginSource:
    """A plugin of an installed package, as near to how that was installed as can be.

    Raises:
        PluginInvalid: it cannot be brought from here.
    """
    if package.absent:
        raise modules_absent(package.declaration.name, package.absent)
    if package.distribution == recipes.DISTRIBUTION:
        return _own(package)
    found = distribution(package.distribution)
    record = found.read_text("direct_url.json")
    if record is None:
        order = {"kind": "requirement", "requirement": f"{found.name}=={found.version}"}
        return _of_installed(package, order, SourceFolder())
    folder, is_editable = _origin(json.loads(record))
    if folder is not None and (is_editable or not is_portable(found)):
        return _of_installed(package, {"kind": "source"}, _below("source", read_folder(folder)))
    name = wheel_name(found.name, found.version)
    files = SourceFolder({f"wheels/{name}": rebuilt(found)})
    return _of_installed(package, {"kind": "wheel", "wheel": name}, files)


def _own(package: PluginPackage) -> PluginSource:
    """One of Tether's own: its folder, with the modules beside it that plugins share.

    The package above it is left without an `__init__.py`, so that a Python which has the folders of
    several plugins in its path finds each of them.
    """
    top = package.package.partition(".")[0]
    beside = package.folder.parent
    files = _below(f"code/{package.package.replace('.', '/')}", read_package(package.folder))
    modules = [path for path in sorted(beside.glob("*.py")) if path.name != "__init__.py"]
    shared = {f"code/{top}/{path.name}": path.read_bytes() for path in modules}
    order = {"kind": "code", "package": package.package, "version": package.version}
    return _of_installed(package, order, SourceFolder({**shared, **files.files}, files.executable))


def _of_installed(
    package: PluginPackage, order: dict[str, str], files: SourceFolder
) -> PluginSource:
    name = package.declaration.name
    return PluginSource(
        slug=_slug(name),
        said=f"the plugin {name!r} of {package.distribution} {package.version}",
        order={**order, "plugin": name},
        files=files.files,
        executable=files.executable,
        declarations=(package.declaration,),
    )


def _origin(told: Mapping[str, Any]) -> tuple[Path | None, bool]:
    """The folder that a package was installed from, where it is still there, and whether it is
    used from there; `told` is what pip keeps of it.
    """
    url = urllib.parse.urlsplit(str(told.get("url", "")))
    folder = Path(urllib.parse.unquote(url.path))
    if "dir_info" not in told or url.scheme != "file" or not folder.is_dir():
        return None, False
    return folder, bool(told["dir_info"].get("editable"))


def package_source(text: str) -> PluginSource:
    """A package that is named by a requirement or a path.

    Raises:
        PluginInvalid: it is neither.
    """
    if is_path(text):
        path = Path(text).expanduser().absolute()
        return _wheel(path) if path.suffix == ".whl" else _folder(path)
    found = _REQUIREMENT.fullmatch(text.strip())
    if found is None:
        raise PluginInvalid(
            f"{text!r} is neither a pip requirement nor the path of a source folder or a wheel",
            hint="A requirement is `name`, `name==1.2` or `name[extra]>=1`, and a path has a slash",
        )
    order: dict[str, str | None] = {"kind": "requirement", "requirement": text.strip()}
    extras = re.sub(r"\s", "", found["extras"] or "")
    order |= {"plugin": None, "extras": extras}
    return PluginSource(_slug(found["name"]), f"the package {text.strip()}", order)


def is_path(text: str) -> bool:
    """Whether it names something on this machine, as pip tells the two apart."""
    return "://" not in text and ("/" in text or text in (".", "..") or text.endswith(".whl"))


def split_packages(text: str) -> Sequence[str]:
    """A list with commas, of which a requirement may have some too: `a>=1,<2,b[x,y]`."""
    if "://" in text or Path(text).exists():
        return [text]
    parts = re.split(r",(?![^\[]*\])(?=\s*[A-Za-z0-9./~])", text)
    return [part.strip() for part in parts if part.strip()]


def _wheel(path: Path) -> PluginSource:
    found = _WHEEL.fullmatch(path.name)
    if found is None or not path.is_file():
        reason = "it is no file" if found is not None else "that is no wheel's name"
        raise PluginInvalid(f"{path} cannot be used as a wheel: {reason}")
    order = {"kind": "wheel", "wheel": path.name, "plugin": None}
    return PluginSource(
        slug=_slug(found["name"]),
        said=f"the wheel {path.name}",
        order=order,
        files={f"wheels/{path.name}": path.read_bytes()},
        declarations=wheel_plugins(path),
    )


def _folder(path: Path) -> PluginSource:
    if not path.is_dir():
        raise PluginInvalid(
            f"there is no folder {path}",
            hint="--plugin-package takes a source folder, a wheel (.whl), or a pip requirement",
        )
    files = _below("source", read_folder(path))
    order = {"kind": "source", "plugin": None}
    said = f"the package in {path.name}"
    return PluginSource(_slug(path.name), said, order, files.files, files.executable)


def _below(folder: str, source: SourceFolder) -> SourceFolder:
    return SourceFolder(
        {f"{folder}/{name}": content for name, content in source.files.items()},
        frozenset(f"{folder}/{name}" for name in source.executable),
    )


def _slug(name: str) -> str:
    """As a part of an image's name: small letters, digits, single dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "plugin"
