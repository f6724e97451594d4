"""The base of everything that crosses the wire: closed, frozen, tagged."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticSerializationError


class Message(BaseModel):
    """A value that is never changed and never holds a field it does not declare.

    Bytes travel as URL-safe base64 inside JSON.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        ser_json_bytes="base64",
        val_json_bytes="base64",
        ser_json_inf_nan="constants",
        defer_build=True,
    )


def to_json(message: Message) -> bytes:
    """A message as JSON that validates to an equal message.

    Every field is written, None too: it may stand for something else than the field's default.
    Text that is no Unicode (a file name, an error that quotes one) gets replacement characters,
    and a value of unknown type among free-form data its `repr`: telling it badly beats losing it.
    """
    try:
        return message.__pydantic_serializer__.to_json(message)
    except PydanticSerializationError:
        fit = type(message).model_validate(_fit(message.model_dump(warnings=False)))
        return fit.__pydantic_serializer__.to_json(fit)


def _fit(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        case dict():
            return {_fit(k): _fit(v) for k, v in value.items()}
        case list() | tuple():
            return [_fit(item) for item in value]
        case bytes() | bool() | int() | float() | None:
            return value
    return _fit(repr(value))
