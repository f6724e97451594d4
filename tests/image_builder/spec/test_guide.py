"""The page about build steps says what the code does; `test_docs.py` runs its snippets."""

from __future__ import annotations

import re
from pathlib import Path

from tether_image_builder.spec import FileStep, ShellStep, lint, load_spec
from tether_image_builder.spec import rules as rules_module
from tether_image_builder.spec.lint import UNREADABLE

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "build-steps.md").read_text()
EXAMPLE = ROOT / "examples" / "build-steps" / "task.toml"


def test_the_example_is_the_one_on_the_page() -> None:
    found = re.search(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    assert found[1] == EXAMPLE.read_text()
    assert lint(load_spec(EXAMPLE)) == ()


def test_every_code_and_field_is_on_the_page() -> None:
    source = Path(rules_module.__file__ or "").read_text()
    codes = set(re.findall(r'Warned\(\s*"([a-z-]+)"', source))
    assert codes | {UNREADABLE} == set(
        re.findall(r"^\| `([a-z]+-?[a-z-]*)` \|", PAGE.partition("## The linter")[2], re.M)
    )
    fields = {*FileStep.model_fields, *ShellStep.model_fields} - {"kind"}
    assert fields == set(re.findall(r"^\| `(\w+)` \|", PAGE.partition("## Secrets")[0], re.M))
