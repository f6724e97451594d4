"""Functions of modules, read from sources that are not run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tether_plugins.agent_skills.listing import LARGEST, Unreadable, find_module, list_skills

MODULE = '''
import os
from os.path import join
raise SystemExit("nobody imports this")

def one(a, /, b: int, c: "str" = 'x', *rest: float, d=1, e: int | None = None, **k) -> None:
    """The manual.

    Indented as it was.
    """

async def two(*, word): ...

def _hidden(): ...

class Three: ...

try:
    import fast
except ImportError:
    def four(): "Slow."
'''


def write(folder: Path, **files: str) -> list[str]:
    for name, text in files.items():
        path = folder / (name.replace("__", "/").replace("INIT", "__init__") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return [str(folder)]


def names(module: str, folders: list[str]) -> list[str]:
    return [skill.name for skill in list_skills(module, folders)]


def test_functions_with_signatures_and_manuals(tmp_path: Path) -> None:
    one, two, four = list_skills("mine", write(tmp_path, mine=MODULE))
    assert (one.name, two.name, four.name) == ("one", "two", "four")
    assert one.signature == (
        "(a, /, b: int, c: 'str' = 'x', *rest: float, d=1, e: int | None = None, **k) -> None"
    )
    assert one.doc == "The manual.\n\nIndented as it was."
    assert (two.signature, two.doc) == ("(*, word)", "")
    assert (four.module, four.doc) == ("mine", "Slow.")


def test_a_package_offers_what_it_takes_over_from_its_own_modules(tmp_path: Path) -> None:
    folders = write(
        tmp_path,
        pack__INIT="from .deep import work as job\nfrom pack.other import *\nfrom os import fork",
        pack__deep__INIT="from .. import deep\nfrom .er import work",
        pack__deep__er="def work(): 'Works.'",
        pack__other="from os import path\ndef play(): ...\ndef _no(): ...",
    )
    job, play = list_skills("pack", folders)
    assert (job.name, job.module, job.doc) == ("job", "pack", "Works.")
    assert play.name == "play"


def test_all_says_what_is_offered(tmp_path: Path) -> None:
    source = "def a(): ...\ndef b(): ...\ndef _c(): ...\n"
    folders = write(
        tmp_path,
        plain=source + "__all__ = ['b', '_c', 'gone']",
        more=source + "__all__ = ('b',)\n__all__ += ['a']",
        made=source + "__all__ = [n for n in 'ab']",
    )
    assert names("plain", folders) == ["b", "_c"]
    assert names("more", folders) == ["b", "a"]
    assert names("made", folders) == ["a", "b"]


def test_modules_that_import_each_other_end(tmp_path: Path) -> None:
    folders = write(
        tmp_path,
        p__INIT="from .a import f\nfrom .a import *",
        p__a="from p import f\nfrom p import *\ndef g(): ...",
        p__b="from .a import g as h\n__all__ = ['h']",
    )
    assert names("p", folders) == ["g"]
    assert names("p.b", folders) == ["h"]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    folders = write(
        tmp_path,
        broken="def f(:\n",
        deep="x = " + "(" * 100_000,
        deeper="def f(x=" + "-" * 5_000 + "1): ...",
        zero="a\x00b",
        large="#" * (LARGEST + 1),
        needs__INIT="from .missing import f",
    )
    (tmp_path / "bare").mkdir()
    os.mkfifo(tmp_path / "pipe.py")
    (tmp_path / "endless.py").symlink_to("/dev/zero")
    for module, why in {
        "broken": r"broken\.py, line 1: invalid syntax",
        "deep": "deep",
        "deeper": "deep",
        "pipe": "no Python source|pipe",
        "zero": "null bytes",
        "large": "larger than",
        "needs": "there is no module needs.missing",
        "bare": "no Python source",
        "endless": "endless",
        "absent": "there is no module absent",
        "absent.inner": "there is no module absent",
    }.items():
        with pytest.raises(Unreadable, match=why):
            list_skills(module, folders)


def test_a_module_that_was_just_written_is_found(tmp_path: Path) -> None:
    folders = write(tmp_path, first="")
    find_module("first", folders)
    write(tmp_path, second="def f(): ...")
    assert names("second", folders) == ["f"]
