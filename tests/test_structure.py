"""Tests that hold the structure: who imports whom, what the wheel has, how long a module may be,
which tests the documents name.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "tether_runtime_client": ROOT / "runtime_client" / "tether_runtime_client",
    "tether_plugins": ROOT / "plugins" / "tether_plugins",
    "tether_image_builder": ROOT / "image_builder" / "tether_image_builder",
    "tether_server": ROOT / "server" / "tether_server",
}
MAY_IMPORT = {
    "tether_runtime_client": (),
    "tether_plugins": ("tether_runtime_client",),
    "tether_image_builder": (
        "tether_runtime_client.plugin",
        "tether_runtime_client.protocol",
        "tether_runtime_client.version",
    ),
    "tether_server": (
        "tether_runtime_client.plugin",
        "tether_runtime_client.protocol",
        "tether_runtime_client.version",
        "tether_image_builder",
    ),
}
LONGEST = 450


def modules() -> Iterator[tuple[str, Path]]:
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            yield package, path


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [alias.name for alias in node.names]
            whole = node.module in PACKAGES
            yield from (f"{node.module}.{name}" for name in names) if whole else (node.module,)


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_one_way(package: str) -> None:
    for owner, path in modules():
        if owner != package:
            continue
        for module in imports(path):
            ours = any(within(module, name) for name in PACKAGES)
            allowed = any(within(module, name) for name in (package, *MAY_IMPORT[package]))
            assert not ours or allowed, f"{path.relative_to(ROOT)} imports {module}"


def test_modules_stay_short() -> None:
    for _, path in modules():
        lines = len(path.read_text().splitlines())
        assert lines <= LONGEST, f"{path.relative_to(ROOT)} has {lines} lines"


def test_nothing_prints_but_skills() -> None:
    skills = ROOT / "plugins" / "tether_plugins" / "agent_skills"
    for _, path in modules():
        if path.parent == skills:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            assert not (called and node.func.id == "print"), path  # type: ignore[attr-defined]


def test_the_supervisor_stays_small() -> None:
    """It lives as long as the sandbox: nothing heavy may come in through its imports."""
    program = (
        "import sys, tether_runtime_client.cli, tether_runtime_client.supervisor_cli;"
        "heavy = {'asyncio', 'pydantic', 'subprocess', 'threading', 'logging', 'websockets'};"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_wheel_has_the_packages_and_nothing_else(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", tmp_path, ROOT]
    subprocess.run([str(word) for word in command], check=True)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    sources = {
        f"{package}/{path.relative_to(folder)}"
        for package, folder in PACKAGES.items()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    recipes = {name for name in names if name.startswith("tether_image_builder/recipes/")}
    assert recipes == {
        f"tether_image_builder/recipes/{path.relative_to(ROOT / 'docker')}"
        for folder in ("common", "miniforge", "plugin", "portable")
        for path in (ROOT / "docker" / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    } | {"tether_image_builder/recipes/images/make-image"}
    assert names - recipes == sources


# --- the catalogues of behaviours


def collected(path: Path) -> set[str]:
    """Of a module, as documents name them."""
    found = re.findall(r"^(?:async )?def (test_\w+)\(", path.read_text(), re.MULTILINE)
    return {f"{path.relative_to(ROOT)}::{name}" for name in found}


def named_tests() -> set[str]:
    text = "".join(path.read_text() for path in (ROOT / "docs").glob("*.md"))
    return set(re.findall(r"tests/[\w/]+\.py::test_\w+", text))


def test_documents_name_tests_that_there_are() -> None:
    modules = {ROOT / name.partition("::")[0] for name in named_tests()}
    assert named_tests() <= set().union(*map(collected, modules))


@pytest.mark.parametrize("folder", ["behaviours", "parity"])
def test_every_behaviour_is_in_a_document(folder: str) -> None:
    modules = (ROOT / "tests" / folder).glob("test_*.py")
    assert set().union(*map(collected, modules)) <= named_tests()


@pytest.mark.xdist_group("structure")
def test_a_group_stays_on_one_worker(request: pytest.FixtureRequest) -> None:
    """That is by a suffix of its tests' ids, which not every pytest lets be given."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        assert request.node.nodeid.endswith("@structure")
