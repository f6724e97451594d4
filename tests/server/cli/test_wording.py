"""Hints on the command line: they name its options, whatever they are called in Python."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tether_runtime_client.protocol.errors import ERRORS_BY_CODE, SandboxGone
from tether_server.cli.failures import report_failure
from tether_server.cli.wording import on_command_line

ROOT = Path(__file__).parents[3]
PYTHON = re.compile(
    r"\b[a-z_]+=(?:'|True|[A-Z]\w*\()|`runtime\.|`(?:cwd|workdir|user|network|transport)`"
)
NOT_MET_THERE = {
    "Pass one, such as CmdRunAction(command=...)",
    "Read it with binary=True, name its encoding, or download it",
    "Correct it, or search for the text itself with fixed=True",
    "Attach with takeover=True to replace it, or as an operator beside it",
    "`runtime.processes()` and `tether exec NAME --list` tell which there are",
    "Start it with `stdin=True`",
}
"""The command runs no such action, takes no control, and leaves input alone that nobody reads; or
its own name for it stands beside.
"""


@pytest.mark.parametrize(
    ("hint", "shown"),
    [
        ("Choose links='keep' or 'skip'", "Choose --links keep or 'skip'"),
        ("Use transport='unix', or backend='local'", "Use --transport unix, or --local"),
        ("Name it: transport=Ssh(host='USER@HOST')", "Name it: --transport ssh=USER@HOST"),
        ("Say transport=Dial(address='HOST:PORT')", "Say --transport dial=HOST:PORT"),
        ("Have it: plugins=[...] of the runtime", "Have it: --plugins NAME"),
        ("Choose another `cwd`", "Choose another --workdir"),
        (
            SandboxGone.default_hint,
            "Start another; what happened until then is in `tether events NAME`, unless"
            " `tether rm` took it along",
        ),
        ("It stays in `runtime.events`", "It stays in `tether events NAME`"),
        ("Free some, in /srv/cwd='x'", "Free some, in /srv/cwd='x'"),
    ],
)
def test_arguments_become_options(hint: str, shown: str) -> None:
    assert on_command_line(hint) == shown


def test_a_failure_is_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    report_failure(SandboxGone("it has ended"), debug=False)
    assert "`tether events NAME`" in capsys.readouterr().err


def test_no_hint_is_left_in_python() -> None:
    hints = {kind.default_hint for kind in ERRORS_BY_CODE.values()} | set(_hints_in_code())
    assert len(hints) > 60
    left = {hint for hint in hints if PYTHON.search(on_command_line(hint))}
    assert left <= NOT_MET_THERE, "a row in cli/wording.py is missing"


def _hints_in_code() -> Iterator[str]:
    """Texts given as `hint=`, and those that are named first."""
    for folder in ("server", "runtime_client", "image_builder"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                match node:
                    case ast.keyword(arg="hint", value=value):
                        yield from _texts(value)
                    case ast.Assign(targets=[ast.Name(id=name)], value=value) if (
                        name.isupper() or name == "hint"
                    ):
                        yield from _texts(value)


def _texts(value: ast.expr) -> Iterator[str]:
    for node in ast.walk(value):
        text = node.value if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and re.match(r"[A-Z`].* ", text):
            yield text
