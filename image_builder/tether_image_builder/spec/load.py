"""Reads a spec from a TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..catalog import AUTO, find_recipe
from ..errors import EnvironmentUnavailable
from .errors import spec_invalid
from .model import Spec
from .wording import worded


def load_spec(path: str | Path) -> Spec:
    """The spec in a file. Its sources are in the file's folder.

    Raises:
        SpecInvalid: it cannot be read or is not what a spec has to be; the message names the
            file, the step's number and the field.
    """
    path = Path(path)
    try:
        document = tomllib.loads(path.read_bytes().decode())
    except OSError as problem:
        raise spec_invalid(path, [str(problem.strerror)]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise spec_invalid(path, [f"it is no TOML: {problem}"]) from None
    if "folder" in document:
        raise spec_invalid(path, ["field `folder`: it is always the folder that the file is in"])
    try:
        spec = Spec.model_validate({**document, "folder": path.absolute().parent})
    except ValidationError as problem:
        raise spec_invalid(path, [_line(error) for error in problem.errors()]) from None
    _check_environment(path, spec.env)
    return spec


def _check_environment(path: Path, env: str | None) -> None:
    """Whether there is such a runtime environment: better said now than after the steps."""
    try:
        if env not in (None, AUTO):
            find_recipe(str(env))
    except ValueError as problem:
        raise spec_invalid(path, [f"field `env`: {problem}"]) from None
    except EnvironmentUnavailable as problem:
        raise spec_invalid(path, [f"field `env`: {problem.message}"]) from None


def _line(error: Any) -> str:
    message = worded(error)
    place = _place(error["loc"])
    return f"{place}: {message}" if place else message


def _place(location: Sequence[int | str]) -> str:
    """`step 2, field `mode`` of ("steps", 1, "file", "mode")."""
    if len(location) >= 2 and location[0] == "steps":
        number, rest = int(location[1]) + 1, location[3:]
        return f"step {number}, {_field(rest)}" if rest else f"step {number}"
    return _field(location) if location else ""


def _field(location: Sequence[int | str]) -> str:
    """A union's own name for a branch is no part of the field's name."""
    names = [str(part) for part in location if "[" not in str(part) and part != "str"]
    return f"field `{'.'.join(names)}`"
