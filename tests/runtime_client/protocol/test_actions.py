"""What an action may hold, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tether_runtime_client.protocol.actions import (
    Action,
    CmdInputAction,
    CmdInterruptAction,
    CmdPollAction,
    CmdRunAction,
    DownloadAction,
    ExecAction,
    ExecStartAction,
    FileEditAction,
    FileReadAction,
    FileWriteAction,
    ListFilesAction,
    OpaqueAction,
    PortForwardAction,
    PortReverseAction,
    ProcessSignalAction,
    SessionResizeAction,
    SetEnvAction,
    action_adapter,
)
from tether_runtime_client.protocol.message import to_json
from tether_runtime_client.protocol.tree_actions import FindFilesAction, GrepAction

from .messages import ACTIONS, message


@pytest.mark.parametrize("kind", ACTIONS)
@given(data=st.data())
def test_what_is_sent_is_what_comes(kind: type[Action], data: st.DataObject) -> None:
    action = data.draw(message(kind))
    assert action_adapter.validate_json(to_json(action)) == action


@pytest.mark.parametrize("kind", ACTIONS)
def test_actions_are_closed_frozen_and_tagged(kind: type[Action]) -> None:
    action: Any = _least(kind)
    with pytest.raises(ValidationError, match="frozen"):
        action.action = "other"
    with pytest.raises(ValidationError, match="Extra inputs"):
        kind.model_validate({**action.model_dump(), "surprise": 1})
    assert kind.model_fields["action"].default == action.action
    assert "→" in (kind.__doc__ or ""), "every action names its answer"


def _least(kind: type[Action]) -> Action:
    """The class with what it needs, and nothing more."""
    given = {
        CmdRunAction: {"command": "x"},
        CmdInputAction: {"text": "x"},
        PortForwardAction: {"port": 1},
        PortReverseAction: {"port": 1, "owner": "somebody"},
        SessionResizeAction: {"rows": 1, "cols": 1},
        ExecAction: {"command": "x"},
        ExecStartAction: {"command": "x"},
        SetEnvAction: {"env": {}},
        FileWriteAction: {"path": "x", "content": ""},
        FileEditAction: {"path": "x", "command": "view"},
        ProcessSignalAction: {"pid": 1},
        OpaqueAction: {"kind": "x.x"},
    }
    needed = {n: "x" for n, field in kind.model_fields.items() if field.is_required()}
    return kind.model_validate({**needed, **given.get(kind, {})})


@pytest.mark.parametrize("kind", [CmdInputAction, CmdInterruptAction, CmdPollAction])
def test_no_timeout_is_not_the_default_timeout(kind: type[Any]) -> None:
    """None means for ever; it must not come out as the field's default at the other end."""
    given = {"text": "x"} if kind is CmdInputAction else {}
    sent = kind(timeout_s=None, **given)
    assert kind.model_fields["timeout_s"].default is not None
    assert action_adapter.validate_json(to_json(sent)).timeout_s is None


@pytest.mark.parametrize(
    ("kind", "fields", "problem"),
    [
        (CmdInputAction, {}, "exactly one of text, key and paste"),
        (CmdInputAction, {"text": "a", "key": "Enter"}, "exactly one of text, key and paste"),
        (CmdInputAction, {"key": "a", "paste": ""}, "exactly one of text, key and paste"),
        (SessionResizeAction, {"rows": 0, "cols": 1}, "greater than or equal to 1"),
        (SessionResizeAction, {"rows": 10_000, "cols": 11}, "at most 100,000 cells"),
        (ExecAction, {}, "exactly one of argv and command"),
        (ExecAction, {"argv": ("a",), "command": "a"}, "exactly one of argv and command"),
        (ExecAction, {"argv": ()}, "at least 1 item"),
        (FileReadAction, {"path": "a", "binary": True, "start_line": 1}, "no meaning"),
        (FileReadAction, {"path": "a", "binary": True, "end_line": 1}, "no meaning"),
        (FileReadAction, {"path": "a", "start_line": 0}, "greater than or equal to 1"),
        (FileWriteAction, {"path": "a"}, "exactly one of content and data"),
        (FileWriteAction, {"path": "a", "content": "", "data": b""}, "exactly one of content"),
        (FileWriteAction, {"path": "a", "content": "", "mode": 0o10000}, "less than or equal"),
        (FileEditAction, {"path": "a", "command": "create"}, "create needs file_text"),
        (FileEditAction, {"path": "a", "command": "str_replace"}, "str_replace needs old_str"),
        (FileEditAction, {"path": "a", "command": "insert"}, "insert_line and new_str"),
        (FileEditAction, {"path": "a", "command": "insert", "new_str": ""}, "needs insert_line"),
        (FileEditAction, {"path": "a", "command": "delete"}, "Input should be"),
        (ListFilesAction, {"limit": 0}, "greater than or equal to 1"),
        (ListFilesAction, {"limit": 10_001}, "less than or equal to 10000"),
        (ExecStartAction, {"command": "x", "rows": 0}, "greater than or equal to 1"),
        (ExecStartAction, {"argv": ()}, "a login shell needs tty"),
        (ExecAction, {"command": "x", "user": "a:b", "group": "c"}, "given twice"),
        (CmdRunAction, {"command": "a", "timeout_s": -1}, "greater than or equal to 0"),
        (CmdRunAction, {"command": "a", "timeout_s": float("inf")}, "finite number"),
        (CmdRunAction, {"command": "a", "timeout_s": float("nan")}, "finite number|greater"),
        (CmdRunAction, {"command": "a", "session": ""}, "at least 1 character"),
        (CmdRunAction, {"command": "a", "session": "../x"}, "match pattern"),
        (CmdRunAction, {"command": "a", "session": "x\n"}, "match pattern"),
        (CmdRunAction, {"command": "a", "session": "x" * 65}, "at most 64"),
        (CmdRunAction, {"command": "a", "env": {"A=B": "c"}}, "match pattern"),
        (CmdRunAction, {"command": "a", "env": {"": "c"}}, "match pattern"),
        (CmdRunAction, {"command": "a", "env": {"A\0": "c"}}, "match pattern"),
        (CmdInterruptAction, {"signal": "INT"}, "match pattern"),
        (CmdInterruptAction, {"signal": "SIGINT; rm"}, "match pattern"),
    ],
)
def test_refused(kind: type[Action], fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        kind.model_validate(fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"command": "view"},
        {"command": "view", "view_range": (1, -1)},
        {"command": "create", "file_text": ""},
        {"command": "str_replace", "old_str": "", "new_str": None},
        {"command": "insert", "insert_line": 0, "new_str": ""},
        {"command": "undo_edit"},
    ],
)
def test_an_edit_has_what_its_command_needs(fields: dict[str, Any]) -> None:
    assert FileEditAction(path="a", **fields).command == fields["command"]


@pytest.mark.parametrize("garbage", ["*", "a", "====", "aGk=garbage", "é", "aG k=", " "])
def test_base64_garbage_is_refused(garbage: str) -> None:
    text = json.dumps({"action": "exec", "command": "cat", "stdin": garbage})
    with pytest.raises(ValidationError, match="stdin"):
        action_adapter.validate_json(text)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (ExecAction, {"command": "cat", "stdin": "text"}),  # as base64 it is b"\xb5\xecm"
        (FileWriteAction, {"path": "a", "data": "text"}),
    ],
)
def test_in_python_text_is_no_bytes(kind: type[Action], fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"bytes are needed.*text\.encode\(\)"):
        kind(**fields)


@pytest.mark.parametrize(
    ("kind", "given", "taken"),
    [
        (ExecAction, {"command": "id", "user": 1000, "group": 0}, {"user": "1000", "group": "0"}),
        (ExecStartAction, {"command": "id", "user": 1000}, {"user": "1000"}),
        (GrepAction, {"pattern": "x", "globs": "*.py"}, {"globs": ("*.py",)}),
        (
            FindFilesAction,
            {"exclude": "a", "types": "file"},
            {"exclude": ("a",), "types": ("file",)},
        ),
        (DownloadAction, {"path": "a", "include": "*.py"}, {"include": ("*.py",)}),
    ],
)
def test_numbers_of_users_and_single_patterns_are_taken(
    kind: type[Action], given: dict[str, Any], taken: dict[str, Any]
) -> None:
    action = kind(**given)
    assert {name: getattr(action, name) for name in taken} == taken


def test_true_is_no_user() -> None:
    with pytest.raises(ValidationError, match="user"):
        ExecAction(command="id", user=True)  # type: ignore[arg-type]


@pytest.mark.parametrize("encoded", ["_-8=", "/+8=", "_-8"])
def test_both_alphabets_of_base64_are_taken(encoded: str) -> None:
    text = json.dumps({"action": "exec", "command": "cat", "stdin": encoded})
    action = action_adapter.validate_json(text)
    assert isinstance(action, ExecAction)
    assert action.stdin == b"\xff\xef"
