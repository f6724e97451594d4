"""Skill modules are plain Python: any Python of an image imports them, without Tether."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("module", ["agent_skills", "documents"])
def test_a_skill_module_needs_nothing_of_tether_and_no_library_to_be_imported(module: str) -> None:
    program = (
        f"import sys; sys.path.append({str(ROOT / 'plugins')!r}); before = set(sys.modules)\n"
        f"from tether_plugins.{module} import *\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(new - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run([sys.executable, "-IS", "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("tether_plugins\n", "")


@pytest.mark.parametrize("module", ["agent_skills", "documents"])
def test_every_skill_has_a_manual_that_names_each_parameter(module: str) -> None:
    package = import_module(f"tether_plugins.{module}")
    for name in package.__all__:
        skill = getattr(package, name)
        manual = inspect.getdoc(skill) or ""
        assert manual.splitlines()[0].endswith((".", ".)")), name
        for parameter in inspect.signature(skill).parameters:
            assert f"\n    {parameter}: " in manual, f"{name}: {parameter}"
