"""Finds what runtime environments are made of: what recipes share, and the client's own code."""

from __future__ import annotations

import re
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

DISTRIBUTION = "tether-runtime"
CODE_RECIPE = "Dockerfile.code"
CHECK_PROGRAM = "check.py"
NOT_IN_CONTEXT = (CODE_RECIPE, CHECK_PROGRAM)
CODE_PACKAGES = ("tether_runtime_client",)


def recipes_folder() -> Path:
    """Beside this module in a wheel, in the folder `docker` of a source checkout."""
    here = Path(__file__).resolve()
    installed = here.parent / "recipes"
    return installed if installed.is_dir() else here.parents[2] / "docker"


def common_files() -> dict[str, bytes]:
    """The folder `common` of every recipe's build context, by name."""
    folder = recipes_folder() / "common"
    paths = [path for path in sorted(folder.iterdir()) if path.is_file()]
    files = {path.name: path.read_bytes() for path in paths if path.name not in NOT_IN_CONTEXT}
    return {**files, "requirements.txt": "\n".join([*requirements(), ""]).encode()}


def code_recipe() -> bytes:
    """The Dockerfile that adds the client's code to an environment."""
    return (recipes_folder() / "common" / CODE_RECIPE).read_bytes()


def plugin_recipe_files() -> dict[str, bytes]:
    """The folder in which a plugin's image is made, by the path in its build context."""
    folder = recipes_folder() / "plugin"
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    files = {
        f"recipe/{path.relative_to(folder).as_posix()}": path.read_bytes()
        for path in paths
        if path.suffix != ".pyc"
    }
    stage = (recipes_folder() / "common" / "stage.sh").read_bytes()
    return {**files, "Dockerfile": files.pop("recipe/Dockerfile"), "common/stage.sh": stage}


def check_program() -> str:
    """The program that looks at a finished environment from inside."""
    return (recipes_folder() / "common" / CHECK_PROGRAM).read_text()


def requirements() -> list[str]:
    """What the client needs in a sandbox, as declared by this installation."""
    declared = metadata.requires(DISTRIBUTION) or []
    return sorted(name for name in map(_sandbox_requirement, declared) if name)


def _sandbox_requirement(declared: str) -> str | None:
    requirement, _, marker = (part.strip() for part in declared.partition(";"))
    wanted = not marker or re.fullmatch(r"extra\s*==\s*['\"]sandbox['\"]", marker)
    return requirement if wanted else None


def code_files(packages: tuple[str, ...] = CODE_PACKAGES) -> dict[str, bytes]:
    """The installed client's own files, by their path in the environment's folder of code."""
    found: dict[str, bytes] = _distribution_files()
    for package in packages:
        root = package_folder(package)
        for path in sorted(root.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc":
                found[f"{package}/{path.relative_to(root).as_posix()}"] = path.read_bytes()
    return found


def package_folder(package: str) -> Path:
    """Where a package is installed, without importing it."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"the package {package} is not installed", name=package)
    return Path(next(iter(spec.submodule_search_locations)))


def _distribution_files() -> dict[str, bytes]:
    """So much of the installation's record that versions and entry points are found inside."""
    version = metadata.version(DISTRIBUTION)
    folder = f"{DISTRIBUTION.replace('-', '_')}-{version}.dist-info"
    header = f"Metadata-Version: 2.1\nName: {DISTRIBUTION}\nVersion: {version}\n"
    return {f"{folder}/METADATA": header.encode()}
