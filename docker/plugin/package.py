"""Makes the plugin's own part of its folder, in the build stage of its code.

Runs with the environment's own Python, so that what pip chooses fits it. What there is of the
plugin is in /plugin, and `order.json` there says what it is. What the plugin needs is made
elsewhere, and only when that changes: /recipe/told/needs has all that it may depend on.
"""

import importlib.metadata
import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from folders import PLUGINS, copy_files, finish, size_of
from relocate import machine_of
from words import invalid, pip

from tether_runtime_client.plugin.declaration import FILE, GROUP, Declaration, parse_declaration
from tether_runtime_client.plugin.installed import FILE as INSTALLED
from tether_runtime_client.plugin.installed import InstalledPlugin
from tether_runtime_client.protocol.errors import PluginInvalid

GIVEN = Path("/plugin")
TOLD = Path("/recipe/told")
WHEELS = Path("/recipe/wheels")
# Dependencies on Tether itself are met by this, which is nothing: the sandbox has the client.
LINKS = ["--find-links", str(GIVEN / "links"), "--constraint", str(GIVEN / "links/constraints.txt")]
TETHER = "tether-runtime"
IN_INFO = re.compile(r"[^/]+\.dist-info/METADATA$")


Place = Path | zipfile.Path


@dataclass(frozen=True)
class Found:
    """A plugin of a package: what it says of itself, and what its package is called."""

    declaration: Declaration
    version: str
    package: str

    @property
    def inner_folder(self) -> str:
        """Where the package's files are, below the folder that it is installed in."""
        return self.package.replace(".", "/")


def main() -> None:
    order = json.loads((GIVEN / "order.json").read_text())
    wheel = wheel_of(order)
    made = [make(plugin, order, wheel) for plugin in plugins_of(order, wheel)]
    (TOLD / "made.json").write_text(json.dumps({"plugins": made}))


def wheel_of(order: dict[str, Any]) -> Path | None:
    """The package as a wheel; None for Tether's own code."""
    if order["kind"] == "code":
        return None
    if order["kind"] == "wheel":
        return GIVEN / "wheels" / order["wheel"]
    what = str(GIVEN / "source") if order["kind"] == "source" else order["requirement"]
    pip(f"get {order['said']}", "wheel", "--no-deps", "--wheel-dir", str(WHEELS), *LINKS, what)
    [wheel] = WHEELS.glob("*.whl")
    return wheel


def plugins_of(order: dict[str, Any], wheel: Path | None) -> Iterator[Found]:
    """The plugins that are wanted of a package, each with its declaration."""
    if wheel is None:
        yield read(GIVEN / "code", order["package"], order["version"], order["plugin"])
        return
    with zipfile.ZipFile(wheel) as archive:
        root = zipfile.Path(archive)
        distribution = in_wheel(archive)
        check_tether(distribution)
        yield from wanted(distribution, order["plugin"], places(root))


def in_wheel(archive: zipfile.ZipFile) -> importlib.metadata.Distribution:
    [info] = {name.split("/")[0] for name in archive.namelist() if IN_INFO.match(name)}
    return importlib.metadata.PathDistribution(zipfile.Path(archive) / info)


def check_tether(distribution: importlib.metadata.Distribution) -> None:
    """Whether the package is for this version of Tether, as it says itself."""
    from requirements import parsed

    version = importlib.metadata.version(TETHER)
    for need in parsed(distribution):
        is_meant = need.name == TETHER and need.applies(())
        if is_meant and not need.takes(version):
            invalid(
                f"{distribution.name} {distribution.version} needs {need.text}, and this is"
                f" {version}",
                "Take versions of the plugin and of Tether that go together",
            )


def wanted(
    distribution: importlib.metadata.Distribution, plugin: str | None, places: list[Place]
) -> Iterator[Found]:
    entries = distribution.entry_points.select(group=GROUP)
    found = [entry for entry in entries if plugin in (None, entry.name)]
    if not found:
        what = "no plugin" if plugin is None else f"no plugin {plugin!r}"
        invalid(f"{distribution.name} {distribution.version} has {what} (no entry in {GROUP})")
    for entry in found:
        within = entry.module.replace(".", "/")
        has = [place for place in places if (place / within / FILE).is_file()]
        yield read((has or places)[0], entry.module, distribution.version, entry.name)


def places(root: zipfile.Path) -> list[Place]:
    """Where a wheel has what goes among Python's packages."""
    inner = [folder for folder in root.iterdir() if folder.name.endswith(".data")]
    return [root, *(folder / kind for folder in inner for kind in ("purelib", "platlib"))]


def read(folder: Place, package: str, version: str, name: str) -> Found:
    path = folder / package.replace(".", "/") / FILE
    if not path.is_file():
        invalid(f"the package {package} has no {FILE}, or its wheel leaves that out")
    try:
        declaration = parse_declaration(path.read_text(encoding="utf-8"), f"{package}/{FILE}")
    except (OSError, UnicodeDecodeError) as problem:
        invalid(f"{package}/{FILE} cannot be read: {problem}")
    except PluginInvalid as problem:
        invalid(problem.message, problem.hint)
    if declaration.name != name:
        invalid(f"its entry point calls it {name!r}, and its declaration {declaration.name!r}")
    return Found(declaration, version, package)


def make(plugin: Found, order: dict[str, Any], wheel: Path | None) -> dict[str, Any]:
    """A plugin's own part of its folder, and the account of what it needs."""
    name = plugin.declaration.name
    own = Path("/recipe/own") / name
    unpack(order["said"], wheel, own)
    plugin = read(own, plugin.package, plugin.version, name)  # what counts is what was unpacked
    check_named(plugin, own)
    prefix, site = PLUGINS / name, PLUGINS / name / "site"
    prefix.mkdir()
    is_whole = is_whole_needed(plugin, own)
    has_needs = tell_needs(plugin, order, wheel, own, is_whole)
    if not is_whole:
        shutil.copytree(own, site)
        copy_files(site / plugin.inner_folder, plugin.declaration.image.files, prefix)
    installed = InstalledPlugin(
        declaration=plugin.declaration,
        version=plugin.version,
        path=(str(site),),
        prefix=str(prefix),
    )
    (prefix / INSTALLED).write_text(installed.model_dump_json())
    finish(prefix)
    size = size_of(prefix)
    return {"installed": installed.model_dump(mode="json"), "bytes": size, "needs": has_needs}


def unpack(said: str, wheel: Path | None, own: Path) -> None:
    """The package's files as they lie among Python's packages, without what they depend on."""
    if wheel is None:
        shutil.copytree(GIVEN / "code", own)
        return
    pip(f"unpack {said}", "install", "--no-deps", "--target", str(own), str(wheel))
    for origin in own.glob("*.dist-info/direct_url.json"):  # where it lay in this stage
        origin.unlink()
        record = origin.with_name("RECORD")
        lines = record.read_text().splitlines(keepends=True)
        record.write_text("".join(line for line in lines if f"/{origin.name}," not in line))


def check_named(plugin: Found, own: Path) -> None:
    """Whether the package has the files that its declaration names."""
    package, needs = own / plugin.inner_folder, plugin.declaration.image
    for source in needs.files:
        if not (package / source).exists():
            invalid(f"its declaration names {source!r} in `files`, and its package has none")
    for source in needs.setup_files or ():
        if not (package / source).exists():
            invalid(f"its declaration names {source!r} in `setup_files`, and its package has none")
    if needs.setup is not None and not (package / needs.setup).is_file():
        invalid(f"its declaration names the set-up {needs.setup!r}, and its package has none")


def is_whole_needed(plugin: Found, own: Path) -> bool:
    """Whether what it needs can be made with all of the package only: its set-up may read any of
    it, or it has programs that have to find their libraries.
    """
    needs = plugin.declaration.image
    if needs.setup is not None and needs.setup_files is None:
        return True
    return any(machine_of(path) is not None for path in own.rglob("*"))


def tell_needs(
    plugin: Found, order: dict[str, Any], wheel: Path | None, own: Path, is_whole: bool
) -> bool:
    """Leaves all that its other image depends on; whether it needs one."""
    needs = plugin.declaration.image
    told: dict[str, Any] = {"pip": needs.pip, "apt": needs.apt, "setup": needs.setup}
    told |= {"name": plugin.declaration.name, "folder": plugin.inner_folder, "files": {}}
    told |= {"whole": is_whole, "package": None}
    if wheel is not None:
        told["package"] = requirements_of(wheel, order.get("extras", ""))
    if not (is_whole or needs.pip or needs.apt or needs.setup or told["package"]):
        return False
    folder = TOLD / "needs" / plugin.declaration.name
    if is_whole:
        told["files"] = needs.files
        shutil.copytree(own, folder / "site")
    elif needs.setup is not None:
        for name in (needs.setup, *(needs.setup_files or ())):
            inner = Path(plugin.inner_folder) / name
            copy_files(own, {str(inner): f"site/{inner}"}, folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "needs.json").write_text(json.dumps(told))
    return True


def requirements_of(wheel: Path, extras: str) -> dict[str, Any] | None:
    """What the package depends on, beside Tether, as pip is to be told; None for nothing."""
    from requirements import that_apply

    with zipfile.ZipFile(wheel) as archive:
        distribution = in_wheel(archive)
        wanted = [extra for extra in extras.strip("[]").split(",") if extra]
        needs = that_apply(distribution, wanted)
        if all(need.name == TETHER for need in needs):
            return None
        return {
            "name": distribution.name,
            "version": distribution.version,
            "extras": extras,
            "requires": [need.text for need in needs],
            "provides": distribution.metadata.get_all("Provides-Extra") or [],
        }


if __name__ == "__main__":
    main()
