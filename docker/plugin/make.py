"""Makes a plugin's folder under the environment's prefix, in the build stage.

Runs with the environment's own Python, so that what pip chooses fits it. What is to be installed is
in /plugin, and `order.json` there says what it is. A line of output that begins with `plugin: ` is
the reason why there will be no plugin; `plugin invalid: ` where the package itself is at fault.
"""

import compileall
import importlib.metadata
import json
import os
import py_compile
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.utils import canonicalize_name
from relocate import relocate

from tether_runtime_client.plugin.declaration import FILE, GROUP, Declaration, parse_declaration
from tether_runtime_client.plugin.installed import FILE as INSTALLED
from tether_runtime_client.plugin.installed import InstalledPlugin
from tether_runtime_client.protocol.errors import PluginInvalid

GIVEN = Path("/plugin")
PLUGINS = Path("/opt/tether/plugins")
WHEELS = Path("/recipe/wheels")
# Dependencies on Tether itself are met by this, which is nothing: the sandbox has the client.
LINKS = ["--find-links", str(GIVEN / "links"), "--constraint", str(GIVEN / "links/constraints.txt")]
TETHER = "tether-runtime"
IN_INFO = re.compile(r"[^/]+\.dist-info/METADATA$")
OTHER_PYTHON = ("requires a different python", "require a different python")


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
    found = list(plugins_of(order, wheel))
    made = []
    warnings: list[str] = []
    for plugin in found:
        installed = make(plugin, order, wheel, warnings)
        size = size_of(PLUGINS / plugin.declaration.name)
        made.append({"installed": installed.model_dump(mode="json"), "bytes": size})
    Path("/recipe/made.json").write_text(json.dumps({"plugins": made, "warnings": warnings}))


def wheel_of(order: dict[str, Any]) -> str | None:
    """The package as a wheel, with its extras as pip takes them; None for Tether's own code."""
    if order["kind"] == "code":
        return None
    if order["kind"] == "wheel":
        return str(GIVEN / "wheels" / order["wheel"])
    what = str(GIVEN / "source") if order["kind"] == "source" else order["requirement"]
    pip(f"get {order['said']}", "wheel", "--no-deps", "--wheel-dir", str(WHEELS), *LINKS, what)
    [wheel] = WHEELS.glob("*.whl")
    return f"{wheel}{order.get('extras', '')}"


def plugins_of(order: dict[str, Any], wheel: str | None) -> Iterator[Found]:
    """The plugins that are wanted of a package, each with its declaration."""
    if wheel is None:
        yield read(GIVEN / "code", order["package"], order["version"], order["plugin"])
        return
    with zipfile.ZipFile(wheel.partition("[")[0]) as archive:
        [info] = {name.split("/")[0] for name in archive.namelist() if IN_INFO.match(name)}
        root = zipfile.Path(archive)
        distribution = importlib.metadata.PathDistribution(root / info)
        check_tether(distribution)
        yield from wanted(distribution, order["plugin"], places(root))


def check_tether(distribution: importlib.metadata.Distribution) -> None:
    """Whether the package is for this version of Tether, as it says itself."""
    version = importlib.metadata.version(TETHER)
    for text in distribution.requires or ():
        need = Requirement(text)
        is_tether = canonicalize_name(need.name) == TETHER
        if not is_tether or (need.marker and not need.marker.evaluate({"extra": ""})):
            continue
        if not need.specifier.contains(version, prereleases=True):
            invalid(
                f"{distribution.name} {distribution.version} needs {need}, and this is {version}",
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


def make(
    plugin: Found, order: dict[str, Any], wheel: str | None, warnings: list[str]
) -> InstalledPlugin:
    """All that belongs to a plugin, in its folder."""
    name = plugin.declaration.name
    prefix = PLUGINS / name
    site = prefix / "site"
    site.mkdir(parents=True)
    install(name, site, [*([wheel] if wheel else []), *plugin.declaration.image.pip])
    if wheel is None:
        shutil.copytree(GIVEN / "code", site, dirs_exist_ok=True)
    plugin = read(site, plugin.package, plugin.version, name)  # what counts is what was installed
    needs = plugin.declaration.image
    if needs.apt:
        run(f"install the Debian packages of {name}", "sh", "/recipe/packages.sh", *needs.apt)
    package = site / plugin.inner_folder
    for source, target in needs.files.items():
        copy(package / source, prefix / target)
    if needs.setup is not None:
        set_up(name, package, needs.setup, prefix)
    refuse_links(prefix)
    warnings += relocate(prefix)
    compile_all(site)
    installed = InstalledPlugin(
        declaration=plugin.declaration,
        version=plugin.version,
        path=(str(site),),
        prefix=str(prefix),
    )
    (prefix / INSTALLED).write_text(installed.model_dump_json())
    subprocess.run(["chmod", "-R", "a+rX,go-w,u-s,g-s", prefix], check=True)
    return installed


def install(name: str, site: Path, wanted: list[str]) -> None:
    if wanted:
        pip(f"install what {name} needs", "install", "--target", str(site), *LINKS, *wanted)
    for stand_in in site.glob("tether_runtime-*.dist-info"):
        shutil.rmtree(stand_in)


def copy(source: Path, target: Path) -> None:
    if not source.exists():
        invalid(f"its declaration names {source.name!r} in `files`, and its package has none")
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True, symlinks=True)
    else:
        shutil.copy(source, target)


def set_up(name: str, package: Path, script: str, prefix: Path) -> None:
    if not (package / script).is_file():
        invalid(f"its declaration names the set-up {script!r}, and its package has none")
    for folder in ("bin", "lib"):
        (prefix / folder).mkdir(exist_ok=True)
    places = {"PREFIX": str(prefix), "SITE": str(prefix / "site")}
    tools = {"PYTHON": sys.executable, "PIP": "/usr/local/bin/pip", "HOME": "/root"}
    own = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    run(
        f"run the set-up of {name}, {script}",
        *("sh", "-eu", script),
        cwd=package,
        env={**own, **places, **tools},
    )
    for folder in ("bin", "lib"):
        if not any((prefix / folder).iterdir()):
            (prefix / folder).rmdir()


def refuse_links(prefix: Path) -> None:
    """Links that lead out of the plugin's folder: in a sandbox there would be something else."""
    for path in prefix.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(prefix):
            invalid(f"the link {path} leads to {path.readlink()}, outside of {prefix}")


def compile_all(site: Path) -> None:
    """Some packages have modules that are no Python of today's: they stay as they are."""
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(site, quiet=2, force=True, workers=0, invalidation_mode=mode)


def size_of(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def pip(to: str, command: str, *arguments: str) -> None:
    program = ["/usr/local/bin/pip", command, *arguments]
    tell(to)
    process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = []
    for line in process.stdout or ():
        said.append(line)
        sys.stdout.write(line)
        sys.stdout.flush()
    if process.wait():
        text = "".join(said)
        if any(words in text.lower() for words in OTHER_PYTHON):
            version = ".".join(map(str, sys.version_info[:2]))
            invalid(f"it is not for Python {version}, which the environment has")
        fail(f"pip could not {to}")


def run(to: str, *command: str, **options: Any) -> None:
    tell(to)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, **options)
    if done.returncode:
        fail(f"could not {to}: it ended with {ending(done.returncode)}")


def tell(to: str) -> None:
    """What comes now; the lines behind it are told where it fails."""
    sys.stdout.write(f"progress: {to}\n")
    sys.stdout.flush()


def ending(code: int) -> str:
    return f"exit code {code}" if code > 0 else f"signal {-code}"


def fail(reason: str) -> NoReturn:
    sys.stdout.flush()
    raise SystemExit(f"plugin: {reason}")


def invalid(reason: str, hint: str = "") -> NoReturn:
    sys.stdout.flush()
    raise SystemExit(f"plugin invalid: {json.dumps([reason, hint])}")


if __name__ == "__main__":
    main()
