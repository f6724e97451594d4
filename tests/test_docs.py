"""Every snippet in the documents is run as it stands."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .examples.installed import install

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What runs this test or takes minutes, and what another test runs (`fix`: tests/examples).
OWN_COMMANDS = re.compile(r"make (demo|fix|test|test-slow|bench|setup)\b")
INSTALLED = ".venv/bin/pip install --no-deps --editable examples/plugin-preview"
"""What the snippets there do first; here it is done for them alone, in a folder of their own."""


def blocks(language: str) -> list[object]:
    found = []
    for document in DOCUMENTS:
        for number, match in enumerate(_BLOCK.finditer(document.read_text()), 1):
            if match[1] == language:
                marks = [pytest.mark.engine] if "tether-test/" in match[2] else []
                if "plugin-preview" in match[2]:
                    marks.append(pytest.mark.xdist_group("port-4180"))
                name = f"{document.name}-{number}"
                found.append(pytest.param(match[2], id=name, marks=marks))
    return found


def needs_engine(text: str, request: pytest.FixtureRequest) -> None:
    if "tether-test/" in text:
        request.getfixturevalue("debian")


@pytest.fixture
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """What a snippet is run with: in that document, a stranger's plugin is installed."""
    scripts = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{scripts}:{os.environ['PATH']}"}
    if "plugin-preview" in request.node.funcargs["snippet"]:
        install(ROOT / "examples" / "plugin-preview", tmp_path / "site")
        environment |= {"PYTHONPATH": str(tmp_path / "site"), "PYTHONDONTWRITEBYTECODE": "1"}
    return environment


@pytest.mark.parametrize("snippet", blocks("python"))
def test_python_snippets_run(
    snippet: str, tmp_path: Path, request: pytest.FixtureRequest, environment: dict[str, str]
) -> None:
    needs_engine(snippet, request)
    program = tmp_path / "snippet.py"
    program.write_text(snippet)
    done = subprocess.run(
        [sys.executable, "-W", "error", str(program)],
        cwd=ROOT if "examples/" in snippet else tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("snippet", blocks("console"))
def test_console_snippets_run(
    snippet: str, request: pytest.FixtureRequest, environment: dict[str, str]
) -> None:
    needs_engine(snippet, request)
    scripts = str(Path(sys.executable).parent)
    for command, shown in commands(snippet):
        if command == INSTALLED:
            continue
        if OWN_COMMANDS.match(command):
            assert OWN_COMMANDS.match(command)[1] in (ROOT / "Makefile").read_text()  # type: ignore[index]
            continue
        command = command.replace(".venv/bin/", f"{scripts}/")
        done = subprocess.run(
            command,
            shell=True,
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=110,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        if shown:
            assert done.stdout == shown


_FILE = re.compile(r"^`([\w./-]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_files_that_a_document_shows_are_those_of_its_example() -> None:
    shown = _FILE.findall((ROOT / "docs" / "plugins.md").read_text())
    assert len(shown) == 6
    for name, text in shown:
        assert (ROOT / "examples" / "plugin-preview" / name).read_text() == text, name


def commands(session: str) -> list[tuple[str, str]]:
    """The commands of a console block, each with the output shown below it."""
    found: list[tuple[str, str]] = []
    for line in session.splitlines():
        if line.startswith("$ "):
            found.append((re.sub(r"\s+#.*", "", line[2:]), ""))
        else:
            command, shown = found.pop()
            found.append((command, shown + line + "\n"))
    return found


def test_the_reference_pages_are_the_code_s() -> None:
    path = ROOT / "docs" / "generate.py"
    spec = importlib.util.spec_from_file_location("generate", path)
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    for name, page in generate.PAGES.items():
        assert (ROOT / "docs" / name).read_text() == page(), "run `make docs`"


def test_what_is_awaited_is_shown_as_async() -> None:
    page = (ROOT / "docs" / "python.md").read_text()
    assert "\nasync wait() -> int\n" in page
    assert "\nresize(rows: int, cols: int) -> None\n" in page


_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def test_links_lead_somewhere() -> None:
    for document in [*DOCUMENTS, ROOT / "CONTRIBUTING.md"]:
        prose = _FENCED.sub("", document.read_text())
        for target in re.findall(r"\]\(([^)#]+)\)", prose):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name}: {target}"


_TEST_NAME = re.compile(r"`(tests/[\w/.-]+\.py)::(\w+)`")


def test_every_test_that_a_document_names_is_there() -> None:
    for document in DOCUMENTS:
        for path, name in _TEST_NAME.findall(document.read_text()):
            defined = re.findall(r"^(?:async )?def (\w+)", (ROOT / path).read_text(), re.MULTILINE)
            assert name in defined, f"{document.name} names {path}::{name}"
