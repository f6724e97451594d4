"""Events as people read them: every kind has words, and none of them can move a cursor."""

from __future__ import annotations

import time
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import pytest

from tether_runtime_client.protocol.actions import AnyAction
from tether_runtime_client.protocol.events import AnySandboxEvent, AnyServerEvent
from tether_runtime_client.protocol.message import Message
from tether_runtime_client.protocol.observations import AnyObservation
from tether_server import (
    ActionSubmitted,
    CmdOutputDelta,
    CmdOutputObservation,
    CmdRunAction,
    ConnectionLost,
    ErrorObservation,
    ExecAction,
    ExecObservation,
    OutputOmitted,
)
from tether_server.cli.phrases import PHRASES, phrase
from tether_server.cli.show import describe, to_line
from tether_server.cli.text import age, harmless, shortened, size, visible

HOSTILE = "\x1b]0;owned\x07\x1b[2J\n\r\u202e\x9b31m" * 40


def kinds() -> list[type[Message]]:
    unions = (AnyAction, AnySandboxEvent, AnyServerEvent, AnyObservation)
    return sorted({k for u in unions for k in get_args(get_args(u)[0])}, key=lambda k: k.__name__)


def hostile_value(annotation: Any) -> Any:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return arguments[0]
    if origin in (Union, UnionType):
        return hostile_value(next(x for x in arguments if x is not NoneType))
    if origin is tuple:
        return (hostile_value(arguments[0]),)
    if origin is dict:
        return {}
    if isinstance(annotation, type) and issubclass(annotation, Message):
        return hostile(annotation)
    values: dict[Any, Any] = {bytes: HOSTILE.encode(), int: 1, float: 1.5, bool: True}
    return values.get(annotation, HOSTILE)


def hostile(kind: type[Message]) -> Any:
    """A message of this kind with the worst text everywhere, past all validation."""
    fields = {n: hostile_value(f.annotation) for n, f in kind.model_fields.items()}
    if kind is ActionSubmitted:
        fields["action"] = hostile(CmdRunAction)
    return kind.model_construct(**fields)


@pytest.mark.parametrize("kind", kinds())
def test_every_kind_has_words(kind: type[Message]) -> None:
    assert kind in PHRASES


@pytest.mark.parametrize("kind", kinds())
def test_no_message_moves_the_cursor(kind: type[Message]) -> None:
    text = phrase(hostile(kind), 80)
    assert text.isprintable()
    assert len(text) <= 160


def test_a_line_has_number_time_action_and_text() -> None:
    event = ActionSubmitted(
        seq=7, time=0.125, action_id="abcdef0123", action=CmdRunAction(command="cd /srv\nls")
    )
    clock = time.strftime("%H:%M:%S", time.localtime(0))
    assert describe(event) == f"    7  {clock}.125  abcdef  → default $ cd /srv\\nls"


def test_colour_is_only_there_when_asked_for() -> None:
    event = ConnectionLost(seq=1, reason="cut")
    assert "\x1b" not in describe(event)
    assert "\x1b[31m" in describe(event, color=True)


def test_long_text_is_cut_in_the_middle() -> None:
    event = CmdOutputDelta(
        content="a" * 5000 + "END", session="default", offset=0, length=5003, action_id="x"
    )
    line = describe(event, width=40)
    assert len(line) < 80
    assert " … " in line
    assert line.endswith("END")


@pytest.mark.parametrize(
    ("event", "tone"),
    [
        (CmdOutputObservation(content="", exit_code=0, status="completed", cwd="/"), "good"),
        (CmdOutputObservation(content="", exit_code=1, status="completed", cwd="/"), "bad"),
        (CmdOutputObservation(content="", exit_code=None, status="running", cwd="/"), "good"),
        (ExecObservation(exit_code=137, signal=9), "bad"),
        (ErrorObservation(code="disk_full", message="full"), "bad"),
        (OutputOmitted(from_offset=0, to_offset=9, path=None), "bad"),
        (CmdOutputDelta(content="x", session="s", offset=0, length=1), "output"),
    ],
)
def test_tones(event: Any, tone: str) -> None:
    assert to_line(event).tone == tone


def test_an_exec_is_shown_as_it_would_be_typed() -> None:
    assert phrase(ExecAction(argv=("echo", "a b"), stdin=b"xx"), 80) == (
        "exec echo 'a b'  (2 bytes of standard input)"
    )


def test_texts() -> None:
    assert visible("a\tb\x1b\x00é\u202e") == "a\\tb\\e\\x00é\\u202e"
    assert harmless("one\ttab\x1b[2J\ntwo") == "one\ttab\N{REPLACEMENT CHARACTER}[2J\ntwo"
    assert shortened("short", 10) == "short"
    assert [size(n) for n in (0, 1, 999, 1000, 999_999, 10**9)] == [
        "0 bytes",
        "1 byte",
        "999 bytes",
        "1.0 kB",
        "1.0 MB",
        "1.0 GB",
    ]
    assert [age(s) for s in (-1, 59, 61, 3660, 90_000)] == [
        "0 s",
        "59 s",
        "1 min 1 s",
        "1 h 1 min",
        "1 d 1 h",
    ]
