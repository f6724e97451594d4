"""Where the agent's skills are: in plugins, and in the folder that modules are added to."""

from __future__ import annotations

from pathlib import Path

from .installed import InstalledPlugin, installed_plugins


def skill_plugins(plugins: Path) -> list[InstalledPlugin]:
    """The installed plugins that bring skills, by name; those that cannot be used are left out."""
    found = installed_plugins(plugins).values()
    return [one for one in found if isinstance(one, InstalledPlugin) and one.declaration.skills]


def skill_folders(plugins: Path, skills: Path) -> list[str]:
    """What goes to the end of a Python's `sys.path`, so that it can import every skill.

    What was added while the sandbox runs comes first, whether or not the folder is there yet.
    """
    folders = [str(skills), *(place for one in skill_plugins(plugins) for place in one.path)]
    return list(dict.fromkeys(folders))
