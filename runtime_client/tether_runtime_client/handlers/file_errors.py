"""What goes wrong with a path, as the protocol's error."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from .. import files as core
from ..aside import aside
from ..protocol import errors as e
from ..protocol.os_errors import printable

T = TypeVar("T")


async def on_files(work: Callable[[], T]) -> T:
    """Do blocking work aside; raise what goes wrong with its path as the protocol's error."""
    try:
        return await aside(work)
    except core.FileOperationError as problem:
        raise protocol_error(problem) from None


def protocol_error(problem: core.FileOperationError) -> e.TetherError:
    """The error of the same code, with data that can be sent."""
    data = {key: _sendable(value) for key, value in problem.data.items()}
    kind = e.ERRORS_BY_CODE[problem.code]
    return kind(printable(problem.message), hint=problem.hint or None, **data)


def _sendable(value: object) -> object:
    return printable(value) if isinstance(value, str) else value
