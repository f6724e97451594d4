"""What is wrong with a spec's fields, in words of its own and not of the library that found it."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel

from .model import FileStep, Secret, ShellStep, Spec

_KINDS: dict[str, type[BaseModel]] = {"file": FileStep, "shell": ShellStep}
_SAID = " and ".join(f"`{kind}`" for kind in _KINDS)
_MODE = 'a string of octal digits, as in "0644"'
_PATTERNS = {
    "mode": f"it has to be {_MODE}",
    "owner": "it is a user, or user:group, as names or numbers",
    "user": "it is a user, or user:group, as names or numbers",
}
_TYPES = {
    "missing": "it has to be there",
    "string_type": "it has to be a string",
    "string_too_short": "it is empty",
    "string_pattern_mismatch": "a name is a letter, then letters, digits, dots and dashes",
    "tuple_type": "it has to be a list",
    "dict_type": "it has to be a table",
    "mapping_type": "it has to be a table",
    "model_type": "it has to be a table",
    "model_attributes_type": "it has to be a table",
    "union_tag_not_found": f"it has no `kind`; there are {_SAID}",
}


def worded(error: Any) -> str:
    """What an error of the models means for whoever wrote the file."""
    kind, place = str(error["type"]), error["loc"]
    name = str(place[-1]) if place else ""
    if kind == "union_tag_invalid":
        return f"there is no kind {error['ctx']['tag']!r}; there are {_SAID}"
    if kind == "extra_forbidden":
        return _unknown(name, place)
    if kind in ("string_type", "string_pattern_mismatch") and name in _PATTERNS:
        return _PATTERNS[name]
    return _TYPES.get(kind) or str(error["msg"]).removeprefix("Value error, ")


def _unknown(name: str, place: Sequence[int | str]) -> str:
    fields = sorted(set(_model(place).model_fields) - {"folder"})
    near = get_close_matches(name, fields, n=1)
    if near:
        return f"there is no such field; did you mean `{near[0]}`?"
    return f"there is no such field; there are {', '.join(fields)}"


def _model(place: Sequence[int | str]) -> type[BaseModel]:
    """The model that a field is looked for in."""
    if place[0] == "steps" and len(place) > 2:
        return _KINDS[str(place[2])]
    return Secret if place[0] == "secrets" and len(place) > 2 else Spec
