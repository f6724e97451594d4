"""Searching text: the same results with ripgrep and without it, whatever is searched."""

from __future__ import annotations

import json
import os
import random
import re
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from tether_runtime_client.search import grep as grep_module
from tether_runtime_client.search.expression import Expression, ExpressionError
from tether_runtime_client.search.grep import Grep, Grepping
from tether_runtime_client.search.hits import MAX_SHOWN

from .asking import ask, wanted


def grep(path: Path | str, pattern: str, **fields: Any) -> dict[str, Any]:
    searching = Grepping(Grep(**wanted("grep", path, pattern=pattern, **fields)))
    searching.run()
    return searching.result()


def both(path: Path | str, pattern: str, ripgrep: str, **fields: Any) -> dict[str, Any]:
    """The result, which is the same either way."""
    without = grep(path, pattern, **fields)
    by_ripgrep = grep(path, pattern, program=ripgrep, **fields)
    assert by_ripgrep["engine"] == "ripgrep", by_ripgrep["engine_reason"]
    assert without["engine"] == "python"
    for result in (without, by_ripgrep):
        del result["engine"], result["engine_reason"]
    assert by_ripgrep == without
    return without


def told(result: dict[str, Any]) -> list[tuple[str, int, int, str]]:
    return [(m["path"], m["line"], m["column"], m["text"]) for m in result["matches"]]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    files = {
        "a.py": "import os\n\ndef main():\n    return os.name\n",
        "b.txt": "Main\nmain\r\nMAIN main\nlast main",
        "sub/c.py": "x = 1\n" * 3 + "main()\n" + "y = 2\n" * 3,
        "sub/d.log": "main\n",
        "sub/empty": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(text.encode())
    (tmp_path / ".gitignore").write_text("*.log\n")
    (tmp_path / "link").symlink_to("a.py")
    os.mkfifo(tmp_path / "fifo")
    return tmp_path


def test_matches(tree: Path, ripgrep: str) -> None:
    result = both(tree, "main", ripgrep)
    assert told(result) == [
        ("a.py", 3, 5, "def main():"),
        ("b.txt", 2, 1, "main"),
        ("b.txt", 3, 6, "MAIN main"),
        ("b.txt", 4, 6, "last main"),
        ("sub/c.py", 4, 1, "main()"),
    ]
    assert result["searched"] == 4
    assert result["next_offset"] is None


@pytest.mark.parametrize(
    ("fields", "places"),
    [
        ({"ignore": False, "globs": ["*.log"]}, ["sub/d.log:1"]),
        ({"globs": ["*.py"]}, ["a.py:3", "sub/c.py:4"]),
        ({"globs": ["sub/**"]}, ["sub/c.py:4"]),
        ({"exclude": ["sub", "*.txt"]}, ["a.py:3"]),
        ({"ignore_case": True, "globs": ["*.txt"]}, ["b.txt:1", "b.txt:2", "b.txt:3", "b.txt:4"]),
        ({"offset": 1, "limit": 2}, ["b.txt:2", "b.txt:3"]),
    ],
)
def test_which_files(tree: Path, ripgrep: str, fields: dict[str, Any], places: list[str]) -> None:
    result = both(tree, "main", ripgrep, **fields)
    assert [f"{m['path']}:{m['line']}" for m in result["matches"]] == places


def test_the_text_itself(tree: Path, ripgrep: str) -> None:
    assert told(both(tree, "main(", ripgrep, fixed=True))[0] == ("a.py", 3, 5, "def main():")
    assert told(both(tree, "a.n", ripgrep, fixed=True)) == []


def test_lines_around(tmp_path: Path, ripgrep: str) -> None:
    (tmp_path / "f").write_text("".join(f"{n}\n" for n in range(1, 31)))
    found = both(tmp_path, "^(3|4|9|30)$", ripgrep, before=2, after=3)["matches"]
    assert [(m["text"], m["before"], m["after"]) for m in found] == [
        ("3", ["1", "2"], ["4", "5", "6"]),
        ("4", ["2", "3"], ["5", "6", "7"]),
        ("9", ["7", "8"], ["10", "11", "12"]),
        ("30", ["28", "29"], []),
    ]


def test_files_and_how_often(tree: Path, ripgrep: str) -> None:
    result = both(tree, "main", ripgrep, files_only=True, limit=2)
    assert result["files"] == [{"path": "a.py", "matches": 1}, {"path": "b.txt", "matches": 3}]
    assert result["next_offset"] == 2
    assert result["matches"] == []
    rest = both(tree, "main", ripgrep, files_only=True, offset=2)
    assert rest["files"] == [{"path": "sub/c.py", "matches": 1}]


def test_one_file(tree: Path, ripgrep: str) -> None:
    assert told(both(tree / "sub" / "d.log", "main", ripgrep)) == [("d.log", 1, 1, "main")]
    assert told(both("/proc/self/status", "^Name", ripgrep))[0][:3] == ("status", 1, 1)


def test_encodings_and_binary_files(tmp_path: Path, ripgrep: str) -> None:
    line = "naïve café main\n"
    (tmp_path / "bom").write_bytes(b"\xef\xbb\xbf" + line.encode())
    (tmp_path / "latin").write_bytes(line.encode("latin-1"))
    (tmp_path / "utf16").write_bytes(b"\xff\xfe" + line.encode("utf-16-le"))
    (tmp_path / "utf16be").write_bytes(b"\xfe\xff" + line.encode("utf-16-be"))
    (tmp_path / "binary").write_bytes(b"main\n\0")
    (tmp_path / os.fsdecode(b"n\xe9")).write_text("main\n")
    assert told(both(tmp_path, "main", ripgrep)) == [
        ("bom", 1, 12, "naïve café main"),
        ("latin", 1, 12, "na\ufffdve caf\ufffd main"),
        (os.fsdecode(b"n\xe9"), 1, 1, "main"),
        ("utf16", 1, 12, "naïve café main"),
        ("utf16be", 1, 12, "naïve café main"),
    ]
    assert told(both(tmp_path, "na.ve", ripgrep))[1][0] == "latin", "what is no text is a character"


EXPRESSIONS = [
    r"\bfoo\b", r"^\s*def\s+(\w+)\(", r"fo{2,}", r"[^a-c]oo$", r"(?i)FOO", r"(?i:fOo)bar",
    r"a|b|", r"\d+\.\d*", r"foo(?=bar)", r"foo(?!bar)", r"(?<=x)foo", r"(o)\1",
    r"(?P<q>['\"]).*?(?P=q)", r"function() {", r"{", r"}", r"\{\}", r"[]a]", r"[\w.-]+@[\w.-]+",
    r"\S+\s\S+", r"[^\s]x", ".", r"^$", r"\Afoo", r"foo\Z", r"a.c", r"[\d\D]", r"é", r"[à-ü]",
    r"\u00e9", r"\x41", r"\.", "$", r"foo$|^bar", r"(?:foo)*+x", r"(?>fo+)b", r"(?x) f o o # c",
    "\t", r"[\t ]x", r"\Bo", "\\\\", r"(?s).oo", r"(?m)^foo$", r"[\[]", r"a{,2}b", r"a{3}",
    r"(a?){2}b", r"\w\W\w", r"[^\W\d]", r"-x", r"--json", r"K", r"(?i)ß", r"(?i)straße", r"[^x]",
    r"\N{BULLET}", r"foo\\", r"[\]]", r"[\^a]",
]  # fmt: skip
WORDS = [
    "foo", "foobar", "xfoo", "foo bar", "def main(self):", "fooo", "doo", "FOO", "fOobar", "1.5",
    "oo", "'a' \"b\"", "function() {", "}", "{}", "a]b", "me@x.org", "café", "cafe\u0301", "é",
    "à", "A", "a.c", "abc", "ac", "x", "\tx", "  x", "foob", "foox", "\\", "foo\\", "aab", "aaa",
    "a b", "a-b", "-x", "--json", "K", "k", "ß", "STRASSE", "straße", "^a", "•", "[", "\xa0x",
    "\x1cx", "日本語 foo", "foo\u200d", "\u017f",
]  # fmt: skip


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_any_expression_is_what_python_says(tmp_path: Path, ripgrep: str, expression: str) -> None:
    chance = random.Random(expression)
    lines = [" ".join(chance.choices(WORDS, k=chance.randint(0, 3))) for _ in range(150)] + WORDS
    end = chance.choice(["\n", "\r\n"])
    (tmp_path / "f").write_bytes(end.join(lines).encode() + b"\nfo\xffo\xffo\xe9\n")
    compiled = re.compile(expression)
    expected = [number for number, line in enumerate(lines, 1) if compiled.search(line)]
    found = grep(tmp_path, expression)
    assert [m["line"] for m in found["matches"] if m["line"] <= len(lines)] == expected
    by_ripgrep = grep(tmp_path, expression, program=ripgrep)
    assert by_ripgrep["matches"] == found["matches"]
    assert by_ripgrep["engine"] == "ripgrep", by_ripgrep["engine_reason"]


def test_what_is_no_expression() -> None:
    for text in ("(", "[", "*", "(?P<a>)(?P<a>)", "a{99999999999999999999}", "(" * 10_000):
        with pytest.raises(ExpressionError):
            Expression(text)


def test_an_expression_ripgrep_does_not_take(tmp_path: Path, ripgrep: str) -> None:
    (tmp_path / "f").write_text("aaa\nbbb\n")
    result = grep(tmp_path, r"a\n|b", program=ripgrep)
    assert (told(result), result["engine"]) == ([("f", 2, 1, "bbb")], "python")
    assert "too early" in result["engine_reason"]


def test_very_long_lines(tmp_path: Path, ripgrep: str) -> None:
    (tmp_path / "a").write_text("x" * 3_000_000 + "main" + "y" * 3_000_000)
    (tmp_path / "b").write_text("main" + "z" * 5_000 + "\n")
    for program in (None, ripgrep):
        found = grep(tmp_path, "main", program=program)["matches"]
        assert [(m["path"], m["column"], m["cut"], len(m["text"])) for m in found] == [
            ("a", 3_000_001, True, MAX_SHOWN),
            ("b", 1, True, MAX_SHOWN),
        ]


def test_pieces_and_the_lines_between_them(tmp_path: Path, ripgrep: str) -> None:
    """A file of several pieces: numbers, and lines around, go on from one to the next."""
    lines = [f"line {n} " + "é" * (n % 70) for n in range(60_000)]
    for number in (0, 13_000, 13_001, 26_000, 59_999):
        lines[number] = f"main {number}"
    (tmp_path / "f").write_text("\n".join(lines))
    found = both(tmp_path, "^main", ripgrep, before=3, after=3)["matches"]
    assert [m["line"] for m in found] == [1, 13_001, 13_002, 26_001, 60_000]
    for match in found:
        number = match["line"] - 1
        assert match["before"] == lines[max(number - 3, 0) : number]
        assert match["after"] == lines[number + 1 : number + 4]


def test_more_matches_than_a_page(tmp_path: Path, ripgrep: str) -> None:
    for number in range(40):
        (tmp_path / f"{number:02}").write_text("main\n" * 500)
    seen: list[tuple[str, int, int, str]] = []
    offset: int | None = 0
    while offset is not None:
        page = both(tmp_path, "main", ripgrep, offset=offset, limit=7_000)
        seen += told(page)
        offset = page["next_offset"]
    assert seen == [(f"{n:02}", line, 1, "main") for n in range(40) for line in range(1, 501)]


def test_batches(tmp_path: Path, ripgrep: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grep_module, "BATCHES", (2, 3))
    for number in range(12):
        (tmp_path / f"{number:02}").write_text("main\n" if number % 5 == 0 else "other\n")
    result = both(tmp_path, "main", ripgrep)
    assert [m["path"] for m in result["matches"]] == ["00", "05", "10"]
    assert result["searched"] == 12


def test_a_name_that_looks_like_an_option(tmp_path: Path, ripgrep: str) -> None:
    (tmp_path / "--pre=touch").write_text("--files main\n")
    assert told(both(tmp_path, "--files", ripgrep))[0][0] == "--pre=touch"


LIES = {
    "not there": None,
    "silence": "exit 0",
    "no json": "echo nonsense",
    "no record": "echo '[1]'",
    "deep": "head -c 200000 /dev/zero | tr '\\0' '['",
    "endless": "yes | tr -d '\\n'",
    "another file": """echo '{"type":"begin","data":{"path":{"text":"/etc/shadow"}}}'""",
    "no number": """echo '{"type":"match","data":{"path":{"text":"'$LAST'"}}}'""",
    "bad base64": """echo '{"type":"match","data":{"path":{"bytes":"%%%"},"line_number":1}}'""",
    "unknown": """echo '{"type":"x","data":{"path":{"text":"'$LAST'"}}}'""",
    "killed": "kill -9 $$",
}


@pytest.mark.parametrize("lie", LIES)
def test_a_ripgrep_that_lies_is_not_used(tmp_path: Path, lie: str) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "f").write_text("main\n")
    program = tmp_path / "rg"
    if LIES[lie] is not None:
        program.write_text(f"#!/bin/sh\nfor LAST; do :; done\n{LIES[lie]}\n")
        program.chmod(stat.S_IRWXU)
    started = time.monotonic()
    result = grep(tmp_path / "tree", "main", program=str(program))
    assert (told(result), result["engine"]) == ([("f", 1, 1, "main")], "python")
    assert result["engine_reason"]
    assert time.monotonic() - started < 20


def test_what_a_false_ripgrep_finds_is_looked_at_again(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "f").write_text("main\n")
    place = os.path.realpath(tmp_path / "tree" / "f")
    path = {"text": place}
    records = [
        {"type": "begin", "data": {"path": path}},
        {"type": "match", "data": {"path": path, "line_number": 7, "lines": {"text": "no"}}},
        {"type": "end", "data": {"path": path}},
        {"type": "summary", "data": {}},
    ]
    (tmp_path / "out").write_text("\n".join(map(json.dumps, records)))
    program = tmp_path / "rg"
    program.write_text(f"#!/bin/sh\ncat {tmp_path}/out\n")
    program.chmod(stat.S_IRWXU)
    assert grep(tmp_path / "tree", "main", program=str(program))["matches"] == []


def test_memory_stays_small(tmp_path: Path, ripgrep: str) -> None:
    """Matches everywhere, in one file of 60 MB: what is not on the page is not kept."""
    (tmp_path / "f").write_bytes(b"main " * 10 + b"\n" + (b"main " * 20 + b"\n") * 600_000)
    for program in (None, ripgrep):
        answer = ask("grep", tmp_path, pattern="main", limit=10, program=program)
        assert len(answer["result"]["matches"]) == 10
        assert answer["result"]["next_offset"] == 10
