"""A plugin's declaration: static data, read without importing anything of the plugin's.

It is the file `tether-plugin.toml` in the package that the entry point in the group
`tether.plugins` names. What `runtime-build` has put into an environment is read from `plugin.json`
in the plugin's folder there, which says the same, and where things came to be.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from ..protocol.errors import PluginInvalid
from ..protocol.limits import PLUGIN_DOOR
from ..protocol.message import Message
from ..protocol.plugin_actions import Kind, PluginName

DOOR = PLUGIN_DOOR
GROUP = "tether.plugins"
FILE = "tether-plugin.toml"

_WORD = r"[A-Za-z_][A-Za-z0-9_]*"
_DOTTED = rf"^{_WORD}(\.{_WORD})*$"
_REFERENCE = rf"^{_WORD}(\.{_WORD})*:{_WORD}$"
_COMMAND = r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$"
_PATH = r"^[^/\x00]+(/[^/\x00]+)*$"
_FORMS = {
    _DOTTED: "the name of a module, as in package.module",
    _REFERENCE: "a name in a module, as in package.module:Name",
    _COMMAND: "letters, digits and _.+- without a hyphen in front",
    _PATH: "a relative path, as in data/words.txt",
}

Dotted = Annotated[str, Field(pattern=_DOTTED, max_length=256)]
Reference = Annotated[str, Field(pattern=_REFERENCE, max_length=256)]
"""A name in a module: `package.module:Name`."""

CommandName = Annotated[str, Field(pattern=_COMMAND, max_length=64)]
InnerPath = Annotated[str, Field(pattern=_PATH, max_length=1024)]

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_PLACEHOLDERS = ("port", "token", "prefix")
Template = Annotated[str, Field(max_length=4096)]
"""Text in which `{port}`, `{token}` and `{prefix}` stand for what a sandbox's sidecar has."""


def _check_below(paths: Iterable[str]) -> None:
    if any(part in ("", ".", "..") for path in paths for part in path.split("/")):
        raise ValueError("paths stay below the package's folder and the plugin's prefix")


class DeclaredAction(Message):
    """An action that a plugin handles.

    Attributes:
        model: its class, derived from `PluginAction`, with the action's kind as its tag.
        observation: the class of what it comes to, derived from `PluginObservation`.
    """

    model: Reference
    observation: Reference


class ImageNeeds(Message):
    """What has to be installed for a plugin, none of it into the image's own folders.

    Attributes:
        pip: requirements beside the package itself and what that depends on.
        apt: Debian packages that `setup` needs; they are there while it runs, and not later.
        files: files and folders of the package, and where below the plugin's prefix they go.
        setup: a script of the package, run by sh in the build stage with the prefix in $PREFIX.
        setup_files: files and folders of the package that `setup` reads. Where they are named, it
            finds them and itself and nothing else of the package, and is run again only when one of
            them changes; otherwise it finds all of the package, and any change runs it again.
    """

    pip: tuple[str, ...] = ()
    apt: tuple[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9+.-]+$")], ...] = ()
    files: dict[InnerPath, InnerPath] = Field(default_factory=dict)
    setup: InnerPath | None = None
    setup_files: tuple[InnerPath, ...] | None = None

    @model_validator(mode="after")
    def _stays_below(self) -> Self:
        paths = [*self.files, *self.files.values(), self.setup or "", *(self.setup_files or ())]
        if any(part in (".", "..") for path in paths for part in path.split("/")):
            raise ValueError("paths stay below the package's folder and the plugin's prefix")
        if self.setup_files is not None and self.setup is None:
            raise ValueError("`setup_files` are those that `setup` reads, and there is no `setup`")
        return self


class SidecarNeeds(Message):
    """How a part of a plugin runs in a container of its own, beside the sandbox's.

    That is made of what was installed for the plugin, and has nothing else; `command` begins in the
    plugin's prefix, and only /tmp can be written to. It shares the sandbox's network.

    Attributes:
        command: a program below the plugin's prefix, and its arguments.
        environment: its variables.
        ready: how the line begins that it writes when it listens.
        config: the field of the configuration that is told where that is.
        address: what that field is told.
    """

    command: Annotated[tuple[Template, ...], Field(min_length=1)]
    environment: dict[str, Template] = Field(default_factory=dict)
    ready: Annotated[Template, Field(min_length=1)]
    config: Annotated[str, Field(pattern=rf"^{_WORD}$", max_length=64)]
    address: Template

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        _check_below(self.command[:1])
        for text in (*self.command, *self.environment.values(), self.ready, self.address):
            for name in _PLACEHOLDER.findall(text):
                if name not in _PLACEHOLDERS:
                    known = ", ".join(f"{{{one}}}" for one in _PLACEHOLDERS)
                    raise ValueError(f"{{{name}}} stands for nothing; there are {known}")
        return self

    def filled(self, text: str, *, port: int, token: str, prefix: str) -> str:
        """A text of this declaration with what the placeholders stand for."""
        given = {"port": str(port), "token": token, "prefix": prefix}
        return _PLACEHOLDER.sub(lambda found: given[found[1]], text)


class Declaration(Message):
    """What a plugin is and needs.

    Attributes:
        name: goes before the dot of everything that is the plugin's own.
        summary: one line for people.
        door: the version of this interface that it was written for.
        entry: its class; None for one that brings only skills.
        config: the class of its configuration, a closed pydantic model.
        start: `first_use` starts its process with its first action, `sandbox` with the client.
        start_timeout_s: how long importing and starting may take.
        actions: what it handles, by kind (`weather.lookup`).
        events: the classes of what it tells while actions run, by kind.
        skills: modules of plain functions for the agent.
        commands: what sessions have on their PATH: by its name a function that is given the
            plugin's `PluginPlaces`, reads `sys.argv` and returns an exit status.
        ports: the ports that it serves inside, by names of its own.
        image: what has to be installed for it.
        sidecar: what of it can run in a container of its own, if anything.
    """

    name: PluginName
    summary: str = Field(default="", max_length=200)
    door: int
    entry: Reference | None = None
    config: Reference | None = None
    start: Literal["first_use", "sandbox"] = "first_use"
    start_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 30.0
    actions: dict[Kind, DeclaredAction] = Field(default_factory=dict)
    events: dict[Kind, Reference] = Field(default_factory=dict)
    skills: tuple[Dotted, ...] = ()
    commands: dict[CommandName, Reference] = Field(default_factory=dict)
    ports: dict[str, Annotated[int, Field(ge=1, le=65535)]] = Field(default_factory=dict)
    image: ImageNeeds = Field(default_factory=ImageNeeds)
    sidecar: SidecarNeeds | None = None

    @property
    def modules(self) -> frozenset[str]:
        """The modules that it names, of its own package or of another."""
        references = [self.entry, self.config, *self.events.values(), *self.commands.values()]
        for action in self.actions.values():
            references += [action.model, action.observation]
        return frozenset({one.partition(":")[0] for one in references if one}) | {*self.skills}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for kind in (*self.actions, *self.events):
            if kind.partition(".")[0] != self.name:
                raise ValueError(f"{kind} is not of this plugin, as {self.name}.something is")
        if (self.actions or self.ports) and self.entry is None:
            raise ValueError("who has actions or ports needs an `entry`, the class that has them")
        if self.sidecar is not None and self.config is None:
            raise ValueError("who has a `sidecar` needs a `config`, which is told its address")
        return self


def parse_declaration(text: str, source: Path | str) -> Declaration:
    """Reads a declaration; `source` is named in what is wrong with it.

    Raises:
        PluginInvalid: it is no TOML, a field is wrong, or it is for another version of the door.
    """
    try:
        fields = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise PluginInvalid(f"{source} is no TOML: {problem}") from None
    try:
        # As JSON, where a list is a tuple and nothing else is taken for what it is not.
        written = json.dumps(fields, default=str)
        found = Declaration.model_validate_json(written, strict=True)
    except ValidationError as problem:
        check_fields(fields)
        raise PluginInvalid(f"{source}: {first_error(problem)}") from None
    check_door(found)
    return found


def first_error(problem: ValidationError) -> str:
    """Where the first thing is wrong, and what is."""
    error = problem.errors(include_url=False)[0]
    where = ".".join(str(part) for part in error["loc"] if part != "[key]")
    form = _FORMS.get(error.get("ctx", {}).get("pattern", ""))
    unknown = error["type"] == "extra_forbidden"
    said = "no such field" if unknown else error["msg"].removeprefix("Value error, ")
    what = said if form is None else f"{error['input']!r:.100} is not {form}"
    return f"{where}{': ' * bool(where)}{what}"


def check_door(declaration: Declaration) -> None:
    """Raises `PluginInvalid` for a plugin that was written for another version of the door."""
    check_fields({"name": declaration.name, "door": declaration.door})


def check_fields(fields: object) -> None:
    """The same of what cannot be read: for another version it may have fields that this one does
    not know.
    """
    door = fields.get("door") if isinstance(fields, dict) else None
    if isinstance(fields, dict) and isinstance(door, int) and door != DOOR:
        raise PluginInvalid(
            f"the plugin {str(fields.get('name'))[:64]!r} was written for version {door} of the"
            f" plugin interface, and this Tether has {DOOR}",
            hint="Install versions of the plugin and of Tether that go together",
        )
