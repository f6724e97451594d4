from __future__ import annotations

import os
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tether_runtime_client.shell.exports import parse_exports, passable

from .conftest import BASH


def dump(env: dict[str, str], before: str = "") -> bytes:
    command = [BASH, "--norc", "-c", f"{before}\ndeclare -px"]
    return subprocess.run(command, env=env, capture_output=True, check=True).stdout


def test_what_bash_prints_is_read_back() -> None:
    env = {
        "A": "plain",
        "B": "\"q\" 'r' $x `y` \\ !",
        "C": "a\nb\n\tc",
        "D": "",
        "E": "\x01\x1b\x7f",
    }
    env |= {"F": "žluť 🐎", "G": "\udcff\udc80", "H": 'declare -x I="fake"\ndeclare -x J="k"'}
    found = parse_exports(dump(env))
    assert {name: found[name] for name in env} == env
    assert not {"I", "J"} & found.keys()


@settings(max_examples=60, deadline=None, database=None)
@given(st.text(st.characters(exclude_characters="\0"), max_size=80))
def test_any_value(value: str) -> None:
    encoded = os.fsdecode(value.encode("utf-8", "surrogatepass"))
    assert parse_exports(dump({"A": encoded}))["A"] == encoded


def test_kinds_of_variables() -> None:
    before = "export N; export -a L=(1 2); declare -ix I=5; declare -rx R=6; set -o posix"
    found = parse_exports(dump({}, before))
    assert (found["I"], found["R"]) == ("5", "6")
    assert not {"N", "L"} & found.keys()


def test_nothing() -> None:
    assert parse_exports(b"") == {}
    assert parse_exports(b"declare -x A\n") == {}
    assert parse_exports(b"export A=x\n") == {}


@pytest.mark.parametrize("tail", [b'B="x', b"B=$'x", b"B=$'x\\", b'B="x\\', b'B="'])
def test_a_value_without_an_end(tail: bytes) -> None:
    assert parse_exports(b'declare -x A="1"\ndeclare -x ' + tail) == {"A": "1"}


@settings(database=None)
@given(st.binary(max_size=200))
def test_anything_may_be_there(junk: bytes) -> None:
    assert "A" in parse_exports(b'declare -x A="1"\ndeclare -x B="' + junk)


def test_what_no_program_can_be_started_with() -> None:
    small = {f"V{number}": "x" * 1000 for number in range(100)}
    assert passable(small) == (small, [])
    assert passable(small | {"BIG": "é" * 70_000}) == (small, ["BIG"])
    kept, too_long = passable({f"V{number}": "x" * 100_000 for number in range(100)})
    assert kept
    assert len(kept) + len(too_long) == 100
    for env in (kept, {"A": "x" * 131_060}):
        fits, _ = passable(env)
        assert fits == env
        subprocess.run(["true"], env=env, check=True)
