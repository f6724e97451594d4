"""Which shell runs an exec that is given as text."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from ..processes import CommandNotFound, NotExecutable, start_process
from ..protocol import errors as e

IMAGE_SHELL = "/bin/sh"

_ANSWER = 77
_PATIENCE_S = 5.0


class TextShell:
    """The image's `sh`, where it works; else the bundled bash, which then behaves as one.

    A shell can be there and be of no use: its loader is not, or a library that the image has every
    program load. So it is tried, once, with the first text.
    """

    def __init__(self, bundled: str | None) -> None:
        self._bundled = bundled
        self._chosen: tuple[str, ...] | None = None

    async def argv(self) -> tuple[str, ...]:
        """The program and its options, to be followed by the text.

        Raises NoShell, and a ProcessStartError where nothing can be started at all.
        """
        if self._chosen is None:
            self._chosen = await self._choose()
        return self._chosen

    async def _choose(self) -> tuple[str, ...]:
        for argv in self._candidates():
            if await _works(argv):
                return argv
        raise e.NoShell(
            f"this image has no {IMAGE_SHELL} that works, and the runtime environment no bash",
            hint="Give the program and its arguments as argv",
        )

    def _candidates(self) -> Iterator[tuple[str, ...]]:
        yield IMAGE_SHELL, "-c"
        if self._bundled:
            yield self._bundled, "--posix", "-c"


async def _works(argv: tuple[str, ...]) -> bool:
    try:
        process = start_process([*argv, f"exit {_ANSWER}"], _ignore)
    except (CommandNotFound, NotExecutable):
        return False
    try:
        async with asyncio.timeout(_PATIENCE_S):
            return (await process.wait()).code == _ANSWER
    except TimeoutError:
        return False
    finally:
        process.kill()


def _ignore(_: object, __: memoryview) -> None: ...
