"""What every error has."""

from __future__ import annotations

from typing import Any, ClassVar


class TetherError(Exception):
    """The base: what happened (`message`), what to do next (`hint`), and what is known (`data`)."""

    code: ClassVar[str] = "error"
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str | None = None, **data: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = self.default_hint if hint is None else hint
        self.data = data

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuilt, (type(self), self.message, self.hint, self.data)


def rebuilt(
    kind: type[TetherError], message: str, hint: str | None, data: dict[str, Any]
) -> TetherError:
    """Data that came over the wire may use any key, so it is no keyword argument here."""
    error = kind(message, hint=hint)
    error.data = data
    return error
