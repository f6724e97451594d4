"""What a spec says: an image, and the steps that are carried out on it before the client goes in.

The models are closed and frozen. `load_spec` reads one from a TOML file; a program makes one of
these classes itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ..names import is_valid_tag
from ..platforms import normal_platform
from ..render import PREFIX

NAME = r"[A-Za-z_][A-Za-z0-9_.-]{0,63}"
_OWNER = r"[A-Za-z0-9_][A-Za-z0-9_.-]*(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?"


class Model(BaseModel):
    """Frozen, and closed: a misspelt name is an error. Values stay out of the errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Secret(Model):
    """Where a secret is on this machine: a variable or a file, exactly one of them.

    Its value decides nothing about what is built again. `version` does: a new one makes the steps
    that are given the secret run again.
    """

    env: str | None = Field(default=None, min_length=1)
    file: str | None = Field(default=None, min_length=1)
    version: str = ""

    @model_validator(mode="after")
    def _has_one_place(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise ValueError("a secret has either `env` or `file`")
        return self


class FileStep(Model):
    """Copies a file or a folder into the image.

    Attributes:
        source: its path in the spec's folder. Neither it nor what is below it may be a symbolic
            link or anything but files and folders.
        destination: where it goes, an absolute path. A folder's contents go into it. A file goes
            into it under its own name where it ends in a slash, and becomes it where it does not.
        mode: the permissions of the files in octal digits; the folders among them can also be
            entered by whoever may read them. Without it each keeps its own.
        owner: `user:group`, names of the image or numbers; a user alone stands for the group of the
            same name, too. Without it root.
    """

    kind: Literal["file"] = "file"
    source: str
    destination: str
    mode: str | None = Field(default=None, pattern=r"^0?[0-7]{3}$")
    owner: str | None = Field(default=None, pattern=rf"^{_OWNER}$")

    @field_validator("source")
    @classmethod
    def _stays_below(cls, value: str) -> str:
        path = PurePosixPath(_one_line(value))
        if not value or path.is_absolute() or ".." in path.parts:
            raise ValueError("a source is a path in the spec's folder, without `..`")
        return value

    @field_validator("destination")
    @classmethod
    def _is_absolute(cls, value: str) -> str:
        path = PurePosixPath(_absolute(value))
        if path.is_relative_to(PREFIX):
            raise ValueError(f"{PREFIX} is the runtime client's own")
        return value


class ShellStep(Model):
    """Runs commands in the image, in one shell, until one of them fails.

    Attributes:
        commands: a list, or one script of several lines. A list tells more when one of them fails.
        user: a name or a number, with or without a group; without it root, whoever the image's
            own user is.
        workdir: where they start; without it the image's own.
        env: variables for these commands; they are no part of the image.
        shell: the absolute path of a shell that reads a script as `sh` does; without it the
            image's /bin/sh, and the bash of the runtime environment in an image that has none.
        secrets: which of the spec's secrets they are given, as files in `$TETHER_SECRETS`.
    """

    kind: Literal["shell"] = "shell"
    commands: tuple[str, ...] | str
    user: str | None = Field(default=None, pattern=rf"^{_OWNER}$")
    workdir: str | None = None
    env: Mapping[str, str] = Field(default_factory=dict)
    shell: str | None = None
    secrets: tuple[str, ...] = ()

    @property
    def script(self) -> tuple[str, ...]:
        """The commands as a list, a whole script being one."""
        return (self.commands,) if isinstance(self.commands, str) else self.commands

    @field_validator("commands")
    @classmethod
    def _say_something(cls, value: tuple[str, ...] | str) -> tuple[str, ...] | str:
        commands = (value,) if isinstance(value, str) else value
        if not commands or not all(command.strip() for command in commands):
            raise ValueError("there is no command")
        if any("\0" in command for command in commands):
            raise ValueError("a command has no NUL character")
        return value

    @field_validator("workdir", "shell")
    @classmethod
    def _is_absolute(cls, value: str | None) -> str | None:
        return value if value is None else _absolute(value)

    @field_validator("env")
    @classmethod
    def _names_variables(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        for name, text in value.items():
            if not re.fullmatch(r"[^=\0]+", name) or "\0" in text:
                raise ValueError(f"{name!r} cannot be a variable")
        return value


Step = Annotated[FileStep | ShellStep, Field(discriminator="kind")]


class Spec(Model):
    """An image and what is done to it.

    Attributes:
        image: what it is built from; a name given beside the spec counts more.
        env: the runtime environment, as `build_image` takes it.
        tag: one more name for the result.
        platform: which variant of the image, as in `linux/amd64`.
        secrets: where on this machine the secrets are that steps are given, by name.
        plugins: names of installed plugins to put in; those that are named beside the spec are put
            in too.
        plugin_packages: more of them: pip requirements, and paths in the spec's folder (with a
            slash in them) of source folders and wheels.
        steps: carried out in this order.
        folder: where sources and the files of secrets are looked for; a file cannot set it, it is
            the folder that the file is in.
    """

    image: str | None = Field(default=None, min_length=1)
    env: str | None = None
    tag: str | None = None
    platform: str | None = None
    plugins: tuple[str, ...] = ()
    plugin_packages: tuple[str, ...] = ()
    secrets: Mapping[Annotated[str, Field(pattern=rf"^{NAME}$")], Secret] = Field(
        default_factory=dict
    )
    steps: tuple[Step, ...] = ()
    folder: Path = Path()

    @field_validator("tag")
    @classmethod
    def _is_a_name(cls, value: str | None) -> str | None:
        if value is not None and not is_valid_tag(value):
            raise ValueError("no valid name for an image; one is team/app:1")
        return value

    @field_validator("platform")
    @classmethod
    def _is_a_platform(cls, value: str | None) -> str | None:
        return None if value is None else normal_platform(value)

    @model_validator(mode="after")
    def _declares_its_secrets(self) -> Self:
        for number, step in enumerate(self.steps, 1):
            wanted = step.secrets if isinstance(step, ShellStep) else ()
            for name in wanted:
                if name not in self.secrets:
                    raise ValueError(
                        f"step {number}, field `secrets`: [secrets] does not say where {name!r} is"
                    )
        return self


def _absolute(value: str) -> str:
    path = PurePosixPath(_one_line(value))
    if not path.is_absolute() or ".." in path.parts:
        raise ValueError("a path in the image is absolute and without `..`")
    return value


def _one_line(value: str) -> str:
    if re.search(r"[\0\n\r]", value):
        raise ValueError("a path has no NUL character and no line break")
    return value
