"""The plugins that a wheel brings, read out of the archive: nothing is unpacked or imported."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path

from tether_runtime_client.plugin.declaration import FILE, GROUP, Declaration, parse_declaration
from tether_runtime_client.protocol.errors import PluginInvalid

_LARGEST = 1 << 20


def wheel_plugins(path: Path) -> tuple[Declaration, ...]:
    """The declarations in a wheel.

    Raises:
        PluginInvalid: it is no wheel, has no plugin, or one that cannot be used.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = _Wheel(path.name, archive)
            return tuple(found.declaration(entry) for entry in found.entries())
    except (OSError, zipfile.BadZipFile, UnicodeDecodeError) as problem:
        raise PluginInvalid(f"{path} cannot be read as a wheel: {problem}") from None


class _Wheel(Distribution):
    """A distribution that is not installed."""

    def __init__(self, name: str, archive: zipfile.ZipFile) -> None:
        self._name = name
        self._archive = archive
        folders = {each.split("/")[0] for each in archive.namelist()}
        self._info = [each for each in folders if each.endswith(".dist-info")]
        self._data = [each for each in folders if each.endswith(".data")]
        if len(self._info) != 1:
            raise PluginInvalid(f"{name} is no wheel: it has {len(self._info)} folders .dist-info")

    def read_text(self, filename: str) -> str | None:
        """A file of its record; None where it has none."""
        return self._text(f"{self._info[0]}/{filename}")

    def locate_file(self, path: object) -> Path:
        """Nowhere: it is not installed."""
        raise NotImplementedError(f"{path} is in an archive")

    def _text(self, name: str) -> str | None:
        if name not in self._archive.namelist():
            return None
        if self._archive.getinfo(name).file_size > _LARGEST:
            raise PluginInvalid(f"{name} in {self._name} is too large")
        return self._archive.read(name).decode()

    def entries(self) -> Iterator[EntryPoint]:
        """The entries for plugins."""
        found = self.entry_points.select(group=GROUP)
        if not found:
            raise PluginInvalid(f"{self._name} has no plugin (no entry in {GROUP})")
        yield from found

    def declaration(self, entry: EntryPoint) -> Declaration:
        """What a plugin says of itself."""
        within = f"{entry.module.replace('.', '/')}/{FILE}"
        below = [f"{data}/{kind}/" for data in self._data for kind in ("purelib", "platlib")]
        texts = (self._text(f"{place}{within}") for place in ("", *below))
        text = next((found for found in texts if found is not None), None)
        if text is None:
            raise PluginInvalid(
                f"{self._name} has no {within}, which its entry {entry.name!r} leads to",
                hint=f"Its build has to take {FILE} into the wheel",
            )
        found = parse_declaration(text, f"{within} in {self._name}")
        if found.name != entry.name:
            raise PluginInvalid(
                f"{self._name} calls a plugin {entry.name!r}, and its declaration {found.name!r}",
                hint="Its entry point and its declaration have to have one name",
            )
        if absent := [one for one in sorted(found.modules) if not self._has(one, entry.module)]:
            raise modules_absent(found.name, absent)
        return found

    def _has(self, module: str, package: str) -> bool:
        """Whether a module is there, or is none of the plugin's package."""
        if not f"{module}.".startswith(f"{package}."):
            return True
        path = module.replace(".", "/")
        names = self._archive.namelist()
        return any(f"/{name}".find(f"/{path}{end}") >= 0 for name in names for end in "./")


def modules_absent(plugin: str, modules: Iterable[str]) -> PluginInvalid:
    """A declaration names modules of its own package that there are not."""
    return PluginInvalid(
        f"the plugin {plugin!r} declares modules that it has not: {', '.join(modules)}",
        hint="docs/plugin-declaration.md says what each field names",
    )
