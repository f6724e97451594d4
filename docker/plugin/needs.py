"""Makes what a plugin needs in its folder, in a build stage of its own.

/plugin/needs.json says what that is. Beside it in `site` are the files of the package that this may
depend on: all of them, which then are a part of the result, or those that its set-up reads, which
are not.
"""

import importlib.metadata
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from folders import PLUGINS, copy_files, finish, size_of
from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.utils import canonicalize_name
from relocate import relocate
from words import apt, fail, pip, run

GIVEN = Path("/plugin")
LINKS = ["--find-links", str(GIVEN / "links"), "--constraint", str(GIVEN / "links/constraints.txt")]


def main() -> None:
    needs = json.loads((GIVEN / "needs.json").read_text())
    prefix = PLUGINS / needs["name"]
    site = prefix / "site"
    site.mkdir(parents=True)
    install(needs, site)
    given = [path for path in (GIVEN / "site").rglob("*") if not path.is_dir()]
    if given:
        shutil.copytree(GIVEN / "site", site, dirs_exist_ok=True)
    if needs["apt"]:
        apt(needs["name"], tuple(needs["apt"]))
    copy_files(site / needs["folder"], needs["files"], prefix)
    if needs["setup"] is not None:
        set_up(needs, prefix)
    if not needs["whole"]:
        leave_out([site / path.relative_to(GIVEN / "site") for path in given], site)
    warnings = relocate(prefix)
    finish(prefix)
    told = {
        "bytes": size_of(prefix),
        "warnings": warnings,
        "for_version": names_itself(needs, site),
    }
    Path("/recipe/told/made.json").write_text(json.dumps(told))


def install(needs: dict[str, Any], site: Path) -> None:
    """What the package depends on; a wheel that has nothing in it stands for the package."""
    package = needs["package"]
    wheels = GIVEN.glob("stand-in/*.whl") if package else ()
    stands = [f"{path}{package['extras']}" for path in wheels]
    if stands or needs["pip"]:
        name = needs["name"]
        what = [*stands, *needs["pip"]]
        pip(f"install what {name} needs", "install", "--target", str(site), *LINKS, *what)
    names = {"tether-runtime", *([canonicalize_name(package["name"])] if package else [])}
    for record in site.glob("*.dist-info"):
        if canonicalize_name(record.name.partition("-")[0]) in names:
            shutil.rmtree(record)


def names_itself(needs: dict[str, Any], site: Path) -> str | None:
    """The package's version, where what it depends on depends on it, and so may be chosen by it."""
    if not needs["package"]:
        return None
    own = canonicalize_name(needs["package"]["name"])
    for found in importlib.metadata.distributions(path=[str(site)]):
        if own != canonicalize_name(found.name) and any(
            canonicalize_name(Requirement(text).name) == own for text in found.requires or ()
        ):
            return str(needs["package"]["version"])
    return None


def set_up(needs: dict[str, Any], prefix: Path) -> None:
    script = needs["setup"]
    for folder in ("bin", "lib"):
        (prefix / folder).mkdir(exist_ok=True)
    places = {"PREFIX": str(prefix), "SITE": str(prefix / "site")}
    tools = {"PYTHON": sys.executable, "PIP": "/usr/local/bin/pip", "HOME": "/root"}
    own = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    run(
        f"run the set-up of {needs['name']}, {script}",
        *("sh", "-eu", script),
        cwd=prefix / "site" / needs["folder"],
        env={**own, **places, **tools},
    )
    if not prefix.is_dir():
        fail(f"the set-up of {needs['name']} removed {prefix}")
    for folder in ("bin", "lib"):
        if (prefix / folder).is_dir() and not any((prefix / folder).iterdir()):
            (prefix / folder).rmdir()


def leave_out(files: list[Path], site: Path) -> None:
    """They come with the plugin's own code, as the package has them then."""
    for path in files:
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == site or not folder.is_dir() or any(folder.iterdir()):
                break
            folder.rmdir()


if __name__ == "__main__":
    main()
