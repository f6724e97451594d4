"""Write the reference pages from the code's own models, signatures and docstrings: `make docs`."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from tether_runtime_client.plugin import declaration
from tether_runtime_client.protocol import action as bases
from tether_runtime_client.protocol import (
    actions,
    browser,
    browser_parts,
    browser_steps,
    errors,
    events,
    exec_actions,
    exec_observations,
    frames,
    jupyter,
    jupyter_events,
    jupyter_outputs,
    limits,
    notes,
    observations,
    plugin_actions,
    plugin_events,
    plugin_observations,
    port_actions,
    port_observations,
    skills,
    tree_actions,
)
from tether_runtime_client.protocol.errors import ERRORS_BY_CODE
from tether_runtime_client.protocol.message import Message
from tether_server import EventStreamRuntime, SyncEventStreamRuntime
from tether_server.event_stream import EventStream
from tether_server.ports import Forward, Reverse
from tether_server.ports.options import ForwardOptions, ReverseOptions
from tether_server.process import Process
from tether_server.process_streams import ProcessInput, ProcessOutput
from tether_server.skills import Skills
from tether_server.spawn_options import SpawnOptions
from tether_server.transfer_rules import TransferOptions

FOLDER = Path(__file__).parent
PROTOCOL = f"""\
# The protocol

This page is written from the code by `make docs`; a test holds it to the code.

The runtime client listens on a websocket, over a UNIX socket or a TCP port, and serves two paths.
`/events` carries text messages, one JSON object each, described here. `/bulk` carries files, trees,
the streams of execs and those of ports as binary messages; each connection there opens with a
one-use ticket that a `TransferReady` event, an observation or the lease of a port gave out.
Compression is off, and a message is at most
{limits.MAX_FRAME:,} bytes long. The protocol's version is {limits.PROTOCOL_VERSION}.

A connection goes so: the server says `hello`, the client answers with a `challenge`, the server
proves that it knows the secret and asks for a role with `attach`, the client says `welcome` and
replays what the server has not stored. From then on the server submits actions and acknowledges
events, and the client sends events and observations, each with the next number of its epoch.
`rotate` begins a change of the secret, which `rotating`, `confirm` and `rotated` go on with. An
`error` may come at any point and is the last frame of its connection.
"""


PLUGINS = """\
## Messages of plugins

A plugin's action travels and is kept as an `OpaqueAction`, whose `kind` is the tag of the action's
class and whose `fields` are its other fields, as JSON. What it comes to is an `OpaqueObservation`,
what it tells an `OpaqueEvent`; what every event has stands there, beside `fields`. Those of the
built-in plugins follow.
"""

PYTHON = """\
# The Python interface

This page is written from the code by `make docs`; a test holds it to the code. The
[guide](guide.md) shows it at work; what the actions and observations hold is in
[the protocol's page](protocol.md). Everything imports from `tether_server`.

An action that cannot be, such as one with a field that does not exist, is refused where it is made,
by pydantic's `ValidationError`. What comes of a valid one is raised as a `TetherError`.

What is shown as `async` is awaited first, so that a process is entered by
`async with await runtime.spawn(...) as process:`. Other methods act at once; an `AsyncIterator` is
for `async for`.
"""


DECLARATION = """\
# tether-plugin.toml

This page is written from the code by `make docs`; a test holds it to the code.

A plugin's declaration is the file `tether-plugin.toml` in the package that its entry point in the
group `tether.plugins` names. [Plugins](plugins.md) shows one and what comes of it. It is data: an
unknown field, or one of the wrong form, is refused where the plugin is built and where it would be
used, by a `PluginInvalid` that names the field. What a reference names is imported in the plugin's
own process; messages and the configuration also by your server, where it has the package.
"""


FORMS = {
    "PluginName": "lower-case letters, digits and `_`, a letter first: `weather`",
    "Kind": "the plugin's name, a dot and a name: `weather.lookup`",
    "Dotted": "a module: `package.module`",
    "Reference": "a name in a module: `package.module:Name`",
    "CommandName": "letters, digits and `_.+-`, no `-` first: `skill`",
    "InnerPath": "a relative path without `.` and `..`: `data/words.txt`",
    "Template": "text in which `{port}`, `{token}` and `{prefix}` stand for what the sidecar has",
}


def declaration_page() -> str:
    """Every field, with what its class says of it."""
    return "\n".join(
        [
            DECLARATION,
            "## At the top\n",
            *_explained(declaration.Declaration),
            '## `[actions."NAME.action"]`\n',
            *_explained(declaration.DeclaredAction),
            "## `[image]`\n",
            *_explained(declaration.ImageNeeds),
            "## `[sidecar]`\n",
            *_explained(declaration.SidecarNeeds),
            "## Types of fields\n",
            "| name | form |\n|---|---|",
            *(f"| `{name}` | {form} |" for name, form in FORMS.items()),
            "",
        ]
    )


def protocol_page() -> str:
    """Frames, actions, observations, events, what is in them, and errors."""
    return "\n".join(
        [
            PROTOCOL,
            "## Frames\n",
            *_classes(frames, Message),
            "## Actions\n",
            *_classes(bases, bases.Action),
            *_classes(actions, bases.Action),
            *_classes(exec_actions, bases.Action),
            *_classes(tree_actions, bases.Action),
            *_classes(port_actions, bases.Action),
            *_classes(plugin_actions, bases.Action),
            "## Observations\n",
            *_classes(observations, observations.Observation),
            *_classes(exec_observations, observations.Observation),
            *_classes(port_observations, observations.Observation),
            *_classes(plugin_observations, observations.Observation),
            "## Events\n",
            *_classes(events, events.Event),
            *_classes(plugin_events, events.Event),
            "## Parts of observations and events\n",
            *_classes(observations, Message, but=events.Event),
            *_classes(exec_actions, Message, but=bases.Action),
            *_classes(events, Message, but=events.Event),
            *_classes(notes, Message),
            *_classes(plugin_observations, Message, but=events.Event),
            PLUGINS,
            "## Pages: the plugin `browser`\n",
            *_classes(browser, Message),
            *_classes(browser_steps, Message),
            *_classes(browser_parts, Message),
            "## Python cells: the plugin `jupyter`\n",
            *_classes(jupyter, Message),
            *_classes(jupyter_events, Message),
            *_classes(jupyter_outputs, Message),
            "## Agent skills: the plugin `agent_skills`\n",
            *_classes(skills, Message),
            "## Types of fields\n",
            "| name | type |\n|---|---|",
            *_types(),
            "",
            "## Errors\n",
            "| code | class | meaning |",
            "|---|---|---|",
            *_errors(),
            "",
        ]
    )


def python_page() -> str:
    """The classes that people use, with every method's signature."""
    return "\n".join(
        [
            PYTHON,
            *_class(EventStreamRuntime),
            *_options(TransferOptions),
            *_options(SpawnOptions),
            *_options(ForwardOptions),
            *_options(ReverseOptions),
            *_made_elsewhere(Process, PROCESS),
            *_made_elsewhere(ProcessOutput, ("read", "readline", "discard")),
            *_made_elsewhere(ProcessInput, ("write", "close")),
            *_made_elsewhere(Forward, FORWARD),
            *_made_elsewhere(Reverse, MAPPING),
            *_made_elsewhere(Skills, ()),
            *_made_elsewhere(EventStream, ("last_seq", "since", "subscribe")),
            f"## `SyncEventStreamRuntime`\n\n{inspect.getdoc(SyncEventStreamRuntime)}\n",
        ]
    )


PROCESS = (
    "exit_code",
    "wait",
    "communicate",
    "merged",
    "send_signal",
    "terminate",
    "kill",
    "resize",
    "close",
)
MAPPING = ("url", "host", "port", "path", "close")
FORWARD = (*MAPPING[:-1], "address", "token", "close")
PAGES = {
    "plugin-declaration.md": declaration_page,
    "protocol.md": protocol_page,
    "python.md": python_page,
}


class _Written:
    """An annotation that is shown as it was written."""

    def __init__(self, text: object) -> None:
        self._text = str(text)

    def __repr__(self) -> str:
        return self._text


def _class(kind: type) -> Iterable[str]:
    yield f"## `{kind.__name__}`\n"
    yield f"```text\n{kind.__name__}{_signature(kind.__init__)}\n```\n"
    yield f"{inspect.getdoc(kind)}\n"
    yield from _members(kind, [name for name in dir(kind) if not name.startswith("_")])


def _made_elsewhere(kind: type, members: Iterable[str]) -> Iterable[str]:
    """A class that people use and do not make."""
    yield f"## `{kind.__name__}`\n\n{inspect.getdoc(kind)}\n"
    yield from _members(kind, members)


def _options(kind: Any) -> Iterable[str]:
    names = ", ".join(f"`{name}`" for name in kind.__annotations__)
    yield f"### `{kind.__name__}`: {names}\n\n{inspect.getdoc(kind)}\n"


def _members(kind: type, names: Iterable[str]) -> Iterable[str]:
    for name in names:
        member = getattr(kind, name)
        shown = (
            name if isinstance(member, property) else f"{_kind(member)}{name}{_signature(member)}"
        )
        yield f"### `{name}`\n\n```text\n{shown}\n```\n\n{inspect.getdoc(member)}\n"


def _kind(function: Any) -> str:
    """How it is called, in the words that define it: `async def` is awaited."""
    defined = inspect.unwrap(getattr(function, "__func__", function))
    return "async " if inspect.iscoroutinefunction(defined) else ""


def _signature(function: Any) -> str:
    """A signature as it is written, without `self`; on a line for each parameter when long."""
    whole = inspect.signature(function)
    given = [
        parameter.replace(annotation=_Written(parameter.annotation))
        for name, parameter in whole.parameters.items()
        if name not in ("self", "cls")
    ]
    shown = whole.replace(parameters=given, return_annotation=_Written(whole.return_annotation))
    text = re.sub(r"<function (\w+) at 0x\w+>", r"\1", str(shown))
    if len(text) < 80:
        return text
    lines = re.sub(r", (?=\*|\w+: )", ",\n    ", text)
    return lines.replace("(", "(\n    ", 1).replace(") ->", ",\n) ->")


def _classes(module: ModuleType, base: type, *, but: type | None = None) -> Iterable[str]:
    for name, kind in vars(module).items():
        local = inspect.isclass(kind) and kind.__module__ == module.__name__ and "[" not in name
        if local and issubclass(kind, base) and not (but and issubclass(kind, but)):
            yield f"### `{name}`\n\n{inspect.getdoc(kind)}\n"
            yield from _fields(kind)


def _fields(kind: type[Any]) -> Iterable[str]:
    own = {n: f for n, f in kind.model_fields.items() if n in kind.__annotations__}
    if not own:
        return
    yield "| field | type | default |\n|---|---|---|"
    for name, field in own.items():
        value = field.get_default(call_default_factory=True, validated_data={})
        default = "required" if field.is_required() else f"`{value!r}`"
        yield f"| `{name}` | `{_type(kind.__annotations__[name])}` | {default} |"
    yield ""


def _explained(kind: type[Any]) -> Iterable[str]:
    """Fields with their explanations, which are in the docstring under `Attributes`."""
    text, _, listed = (inspect.getdoc(kind) or "").partition("\n\nAttributes:\n")
    meanings = {}
    for entry in re.split(r"\n(?=    \S)", listed):
        names, _, meaning = " ".join(entry.split()).partition(": ")
        meanings |= dict.fromkeys(names.split(", "), meaning)
    assert meanings.keys() == kind.model_fields.keys(), f"{kind.__name__} explains {[*meanings]}"
    yield f"{text}\n"
    yield "| field | type | default | meaning |\n|---|---|---|---|"
    for name, row in zip(kind.model_fields, list(_fields(kind))[1:-1], strict=True):
        yield f"{row} {meanings[name]} |"
    yield ""


def _type(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return str(text).replace("|", "\\|")


def _types() -> Iterable[str]:
    """What the tables above name and what is no class, each once."""
    named = {}
    for module in (
        bases,
        actions,
        exec_actions,
        tree_actions,
        port_actions,
        plugin_actions,
        observations,
        plugin_observations,
        events,
        frames,
        browser,
        browser_parts,
        browser_steps,
        jupyter,
        jupyter_events,
        jupyter_outputs,
        skills,
    ):
        named |= {name: value for name, value in vars(module).items() if _is_alias(value)}
    for name, value in sorted(named.items()):
        if not name.startswith("_") and not inspect.isclass(value):
            yield f"| `{name}` | `{_readable(value)}` |"


def _is_alias(value: Any) -> bool:
    """Unions of messages are written out by this page itself."""
    return typing.get_origin(value) is not None and "FieldInfo(" not in _readable(value)


def _readable(alias: Any) -> str:
    text = repr(alias).replace("typing.", "").replace("NoneType", "None").replace("|", "\\|")
    text = re.sub(r"_PydanticGeneralMetadata\(([^()]*)\)", r"\1", text)
    return re.sub(r"FieldInfo\(annotation=None, required=True, metadata=\[(.*?)\]\)", r"\1", text)


def _errors() -> Iterable[str]:
    for code, kind in sorted(ERRORS_BY_CODE.items()):
        meaning = " ".join((inspect.getdoc(kind) or "").split())
        yield f"| `{code}` | `{kind.__name__}` | {meaning} |"


if __name__ == "__main__":
    assert errors.__doc__
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page())
