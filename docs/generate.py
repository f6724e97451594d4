"""Write `docs/protocol.md` from the protocol's own models and docstrings: `make docs`."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from tether_runtime_client.protocol import action as bases
from tether_runtime_client.protocol import (
    actions,
    errors,
    events,
    frames,
    limits,
    observations,
    tree_actions,
)
from tether_runtime_client.protocol.errors import ERRORS_BY_CODE
from tether_runtime_client.protocol.message import Message

PAGE = Path(__file__).parent / "protocol.md"
INTRODUCTION = f"""\
# The protocol

This page is written from the code by `make docs`; a test holds it to the code.

The runtime client listens on a websocket, over a UNIX socket or a TCP port, and serves two paths.
`/events` carries text messages, one JSON object each, described here. `/bulk` carries files, trees
and terminals as binary messages; each connection there opens with a one-use ticket that a
`TransferReady` event gave out. Compression is off, and a message is at most
{limits.MAX_FRAME:,} bytes long. The protocol's version is {limits.PROTOCOL_VERSION}.

A connection goes so: the server says `hello`, the client answers with a `challenge`, the server
proves that it knows the secret and asks for a role with `attach`, the client says `welcome` and
replays what the server has not stored. From then on the server submits actions and acknowledges
events, and the client sends events and observations, each with the next number of its epoch. An
`error` may come at any point and is the last frame of its connection.
"""


def page() -> str:
    """The whole page."""
    return "\n".join(
        [
            INTRODUCTION,
            "## Frames\n",
            *_classes(frames, Message),
            "## Actions\n",
            *_classes(bases, bases.Action),
            *_classes(actions, bases.Action),
            *_classes(tree_actions, bases.Action),
            "## Observations\n",
            *_classes(observations, observations.Observation),
            "## Events\n",
            *_classes(events, events.Event),
            "## Errors\n",
            "| code | class | meaning |",
            "|---|---|---|",
            *_errors(),
            "",
        ]
    )


def _classes(module: ModuleType, base: type) -> Iterable[str]:
    for name, kind in vars(module).items():
        local = inspect.isclass(kind) and kind.__module__ == module.__name__
        if local and issubclass(kind, base) and not name.startswith("_"):
            yield f"### `{name}`\n\n{inspect.getdoc(kind)}\n"
            yield from _fields(kind)


def _fields(kind: type[Any]) -> Iterable[str]:
    own = {n: f for n, f in kind.model_fields.items() if n in kind.__annotations__}
    if not own:
        return
    yield "| field | type | default |\n|---|---|---|"
    for name, field in own.items():
        default = "required" if field.is_required() else f"`{field.get_default()!r}`"
        yield f"| `{name}` | `{_type(kind.__annotations__[name])}` | {default} |"
    yield ""


def _type(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return str(text).replace("|", "\\|")


def _errors() -> Iterable[str]:
    for code, kind in sorted(ERRORS_BY_CODE.items()):
        meaning = " ".join((inspect.getdoc(kind) or "").split())
        yield f"| `{code}` | `{kind.__name__}` | {meaning} |"


if __name__ == "__main__":
    assert errors.__doc__
    PAGE.write_text(page())
