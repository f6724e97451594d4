"""The error tree, its codes, and what becomes of codes and data off the wire."""

from __future__ import annotations

import copy
import pickle

import pytest

from tether_runtime_client.protocol import errors
from tether_runtime_client.protocol.errors import (
    ERRORS_BY_CODE,
    ActionError,
    CommandStillRunning,
    DiskFull,
    FileError,
    TetherError,
    error_from_code,
)

ALL = [kind for kind in vars(errors).values() if isinstance(kind, type) and kind is not object]
KINDS = [kind for kind in ALL if issubclass(kind, TetherError)]


def test_every_class_has_a_code_of_its_own() -> None:
    assert len({kind.code for kind in KINDS}) == len(KINDS)
    assert {kind.code: kind for kind in KINDS} == ERRORS_BY_CODE


@pytest.mark.parametrize("kind", KINDS)
def test_codes_are_lower_case_words_and_classes_are_documented(kind: type[TetherError]) -> None:
    assert kind.code.replace("_", "").isalpha()
    assert kind.code == kind.code.lower()
    assert kind.__doc__


def test_every_kind_says_what_to_do_next_but_for_those_that_others_are_kinds_of() -> None:
    assert not [kind for kind in KINDS if not kind.default_hint and not kind.__subclasses__()]


def test_an_error_says_what_happened_and_what_to_do() -> None:
    error = CommandStillRunning("'sleep 9' is still running", session="default", partial="x")
    assert str(error) == f"'sleep 9' is still running. {CommandStillRunning.default_hint}"
    assert error.data == {"session": "default", "partial": "x"}
    assert str(TetherError("alone")) == "alone"
    assert DiskFull("full", hint="").hint == ""


@pytest.mark.parametrize("kind", KINDS)
def test_errors_survive_pickling(kind: type[TetherError]) -> None:
    error = kind("what happened", path="/x", number=3)
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is kind
        assert (twin.message, twin.hint, twin.data) == (error.message, error.hint, error.data)


@pytest.mark.parametrize("code", sorted(ERRORS_BY_CODE))
def test_a_known_code_becomes_its_class(code: str) -> None:
    error = error_from_code(code, "message", "hint", {"a": 1})
    assert type(error) is ERRORS_BY_CODE[code]
    assert (error.message, error.hint, error.data) == ("message", "hint", {"a": 1})


@pytest.mark.parametrize("code", ["", "DiskFull", "os.system", "disk_full\n", "Ünknown", "x" * 999])
def test_an_unknown_code_becomes_a_plain_action_error(code: str) -> None:
    error = error_from_code(code, "message", "hint", {"a": 1})
    assert type(error) is ActionError
    assert error.data == {"a": 1, "unknown_code": code}


@pytest.mark.parametrize("key", ["message", "hint", "self", "code", "data", "kind", "args", "é ü"])
def test_data_off_the_wire_may_have_any_key(key: str) -> None:
    for code in ("file_missing", "no_such_code"):
        error = error_from_code(code, "message", "hint", {key: "hostile"})
        assert (error.message, error.hint) == ("message", "hint")
        assert error.data[key] == "hostile"
        assert pickle.loads(pickle.dumps(error)).data == error.data


def test_data_is_the_errors_own() -> None:
    given = {"a": 1}
    error_from_code("file_missing", "m", data=given).data["b"] = 2
    assert given == {"a": 1}
    assert error_from_code("file_missing", "m").data == {}


def test_the_tree_has_one_base_per_part() -> None:
    assert issubclass(FileError, ActionError)
    for base in (errors.ProtocolError, errors.ActionError, errors.SandboxError):
        assert base.__bases__ == (TetherError,)
