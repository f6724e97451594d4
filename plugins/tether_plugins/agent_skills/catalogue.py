"""The skill modules of a sandbox: those of its plugins, and those that were added to it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tether_runtime_client.plugin import PluginPlaces
from tether_runtime_client.plugin.skills import skill_folders, skill_plugins
from tether_runtime_client.protocol.skills import Skill

from .listing import Unreadable, find_module, list_skills, own_path

NAMES = ".modules"
"""In the folder of added modules, a line with the name of each that was asked for."""

INCOMING = ".incoming"
"""In that folder too: what is being uploaded, until it is known to be a module."""


class Catalogue:
    """What there is, looked up anew each time: an agent adds modules while it works."""

    def __init__(self, places: PluginPlaces) -> None:
        self._plugins = places.plugins
        self.folder = places.skills

    def folders(self) -> list[str]:
        """Where the modules are, in the order in which Python looks."""
        return [*skill_folders(self._plugins, self.folder), *own_path()]

    def modules(self) -> list[str]:
        """Their names, those of plugins first."""
        declared = [name for one in skill_plugins(self._plugins) for name in one.declaration.skills]
        return list(dict.fromkeys([*declared, *self._added()]))

    def skills(self) -> tuple[list[Skill], list[str]]:
        """All skills, and why some modules have none that can be told."""
        skills: list[Skill] = []
        problems: list[str] = []
        folders = self.folders()
        for module in self.modules():
            try:
                skills.extend(list_skills(module, folders))
            except Unreadable as problem:
                problems.append(str(problem))
        return skills, problems

    def add(self, module: str, elsewhere: Sequence[str]) -> list[Skill]:
        """Make a module a skill module; it is looked for in further folders too.

        Raises `Unreadable`; nothing has changed then.
        """
        top = module.partition(".")[0]
        folders = [*skill_folders(self._plugins, self.folder), *elsewhere, *own_path()]
        incoming = self.folder / INCOMING
        try:
            skills = list_skills(module, [str(incoming), *folders])
            self.folder.mkdir(mode=0o755, exist_ok=True)
            for name in (f"{top}.py", top):
                if (incoming / name).exists():
                    self._replace(top, incoming / name)
        finally:
            _remove(incoming / f"{top}.py")
            _remove(incoming / top)
        self._link(top, folders)
        self._note(module)
        return skills

    def _added(self) -> Iterator[str]:
        """What is in the folder, whoever put it there, and what was asked for inside of it."""
        noted = self._noted()
        inside = {name.partition(".")[0] for name in noted}
        entries = sorted(self.folder.iterdir()) if self.folder.is_dir() else []
        for entry in entries:
            name = entry.name.removesuffix(".py")
            is_module = entry.suffix == ".py" or (entry / "__init__.py").is_file()
            if is_module and name.isidentifier() and name[0] != "_" and name not in inside:
                yield name
        yield from noted

    def _replace(self, top: str, new: Path) -> None:
        """Old files of a package do not stay, and what a link led to is not touched."""
        _remove(self.folder / f"{top}.py")
        _remove(self.folder / top)
        new.rename(self.folder / new.name)
        self._write_notes(name for name in self._noted() if name.partition(".")[0] != top)

    def _link(self, top: str, folders: Sequence[str]) -> None:
        """Brings a module into the folder, where running kernels find it too."""
        spec = find_module(top, folders)
        places = list(spec.submodule_search_locations or [])
        found = Path(places[0] if places else spec.origin or "")
        target = self.folder / found.name
        if found.parent != self.folder and not target.exists():
            target.unlink(missing_ok=True)  # a link whose module is gone
            target.symlink_to(found)

    def _noted(self) -> list[str]:
        try:
            noted = (self.folder / NAMES).read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError):
            return []
        return [name for name in noted if all(part.isidentifier() for part in name.split("."))]

    def _note(self, module: str) -> None:
        self._write_notes(dict.fromkeys([*self._noted(), module]))

    def _write_notes(self, modules: Iterable[str]) -> None:
        text = "".join(f"{module}\n" for module in modules)
        draft = self.folder / f"{NAMES}.new"
        draft.write_text(text, encoding="utf-8")
        draft.replace(self.folder / NAMES)


def _remove(path: Path) -> None:
    """A file, a link or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
