"""A recipe: a folder with a Dockerfile and a manifest, out of which an environment is built.

`docs/recipes.md` is the contract between a recipe and this package.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .errors import recipe_invalid

MANIFEST = "recipe.toml"
DOCKERFILE = "Dockerfile"
# Folders that this package adds to a recipe's build context.
PROVIDED = ("common", "host")
# Build arguments that this package sets.
RESERVED_ARGUMENTS = ("BASE", "GLIBC", "STAGE")
MACHINES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}

_PLACEHOLDER = re.compile(r"\{([A-Za-z_]+)\}")
_Name = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]
_ArgumentName = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")]
_Platform = Annotated[str, Field(pattern=r"^[a-z0-9]+/[a-z0-9]+$")]


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Argument(_Closed):
    """A build argument of the recipe's Dockerfile.

    `{machine}` in a value is the machine's name as `uname -m` has it, `{NAME}` another argument.

    Attributes:
        default: the value, or one for each platform.
        variable: the environment variable that takes the default's place where it is set.
    """

    default: str | dict[_Platform, str] = ""
    variable: str | None = Field(default=None, pattern=r"^[A-Z][A-Z0-9_]*$")


class Manifest(_Closed):
    """What `recipe.toml` says.

    Attributes:
        name: what `--env` takes, and a part of the images' names.
        summary: one line for people.
        suits: `any` image, or only images with a `glibc`.
        glibc: the oldest glibc that an image may have, as in `2.28`; with `suits = "glibc"`.
        platforms: what it can be built for.
        base: the image that the Dockerfile's build stage begins with, its argument BASE.
        arguments: further arguments of the Dockerfile, by name.
        needs: the argument whose value is a URL without which the recipe cannot be built.
        hint: what to do when it cannot be built.
    """

    name: _Name
    summary: str
    suits: Literal["any", "glibc"] = "any"
    glibc: str | None = Field(default=None, pattern=r"^\d+\.\d+$")
    platforms: tuple[_Platform, ...] = Field(min_length=1)
    base: str = "debian:bookworm-slim"
    arguments: dict[_ArgumentName, Argument] = {}
    needs: str | None = None
    hint: str | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.name == "auto" or self.name.endswith("-base"):
            raise ValueError(f"no recipe can be called {self.name}")
        if (self.suits == "glibc") != (self.glibc is not None):
            raise ValueError('`glibc` is given with `suits = "glibc"` and only then')
        if taken := sorted(set(RESERVED_ARGUMENTS) & set(self.arguments)):
            raise ValueError(f"the argument {taken[0]} is set by runtime-build")
        if self.needs is not None and self.needs not in self.arguments:
            raise ValueError(f"`needs` names {self.needs}, which is none of the arguments")
        return self


@dataclass(frozen=True)
class Recipe:
    """A recipe's manifest and files; `files` has every file of the folder by its path in it."""

    manifest: Manifest
    files: Mapping[str, bytes]
    folder: Path

    @classmethod
    def load(cls, folder: Path) -> Recipe:
        """Reads a recipe's folder.

        Raises:
            EnvironmentUnavailable: it is no recipe, and why.
        """
        if not (folder / MANIFEST).is_file():
            raise recipe_invalid(folder, f"there is no {MANIFEST} in it")
        manifest = _manifest(folder)
        files = _files(folder)
        if DOCKERFILE not in files:
            raise recipe_invalid(folder, f"there is no {DOCKERFILE} in it")
        if taken := sorted(name for name in files if name.split("/")[0] in PROVIDED):
            raise recipe_invalid(folder, f"{taken[0]} has the name of what runtime-build adds")
        return cls(manifest, files, folder)

    def arguments(
        self, platform: str, environment: Mapping[str, str], given: Mapping[str, str]
    ) -> dict[str, str]:
        """The values of the recipe's own build arguments for a platform.

        Args:
            platform: as in `linux/amd64`.
            environment: environment variables, which come before defaults.
            given: values by the arguments' names, which come before all.

        Raises:
            EnvironmentUnavailable: a value names an argument that there is not.
        """
        values = {"machine": MACHINES.get(platform, platform.rpartition("/")[2])}
        for name, argument in self.manifest.arguments.items():
            values[name] = given.get(name, _value(argument, platform, environment))
        names = self.manifest.arguments
        return {name: self._filled(values[name], values) for name in names}

    def _filled(self, text: str, values: Mapping[str, str]) -> str:
        if unknown := [name for name in _PLACEHOLDER.findall(text) if name not in values]:
            raise recipe_invalid(self.folder, f"{{{unknown[0]}}} in {text!r} is no argument")
        return _PLACEHOLDER.sub(lambda found: values[found[1]], text)


def _manifest(folder: Path) -> Manifest:
    try:
        table = tomllib.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return Manifest.model_validate(table)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise recipe_invalid(folder, f"{MANIFEST} is no TOML: {problem}") from None
    except ValidationError as problem:
        raise recipe_invalid(folder, f"{MANIFEST}: {_first(problem)}") from None


def _first(problem: ValidationError) -> str:
    error = problem.errors(include_url=False)[0]
    where = ".".join(str(part) for part in error["loc"])
    message = error["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


def _files(folder: Path) -> dict[str, bytes]:
    found = {}
    for path in sorted(folder.rglob("*")):
        if "__pycache__" in path.parts:
            continue
        if path.is_symlink():
            raise recipe_invalid(folder, f"{path.relative_to(folder)} is a symbolic link")
        if path.is_file():
            found[path.relative_to(folder).as_posix()] = path.read_bytes()
    return found


def _value(argument: Argument, platform: str, environment: Mapping[str, str]) -> str:
    if argument.variable and environment.get(argument.variable):
        return environment[argument.variable]
    if isinstance(argument.default, str):
        return argument.default
    return argument.default.get(platform, "")
