"""What all actions have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from .message import Message

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
SignalName = Annotated[str, Field(pattern=r"^SIG[A-Z0-9]+$")]
Environment = dict[Annotated[str, Field(pattern=r"^[^=\x00]+$")], str]
TerminalSide = Annotated[int, Field(ge=1, le=10_000)]


def bytes_not_text(value: object, info: ValidationInfo) -> object:
    """Text stands for bytes in JSON only, as base64: in Python it would be taken for that."""
    if isinstance(value, str) and info.mode == "python":
        raise ValueError("bytes are needed, and this is text: encode it, as with text.encode()")
    return value


class Action(Message):
    """The base of all actions; `action` is the tag on the wire."""

    action: str

    @field_validator("user", "group", mode="before", check_fields=False)
    @classmethod
    def _number_as_text(cls, value: object) -> object:
        """A uid or gid may be given as the number that it is."""
        return str(value) if type(value) is int else value

    @field_validator("globs", "include", "exclude", "types", mode="before", check_fields=False)
    @classmethod
    def _one_as_several(cls, value: object) -> object:
        """One needs no tuple."""
        return (value,) if isinstance(value, str) else value
