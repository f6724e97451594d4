"""How `runtime-build` ends: its exit codes, and what is said before."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import click

from .errors import (
    BuildFailed,
    EngineUnavailable,
    EnvironmentUnavailable,
    ImageNotFound,
    PluginInvalid,
    PushFailed,
    SpecInvalid,
    StepFailed,
    TetherError,
    WrongArchitecture,
)

EXIT_CODES: dict[type[TetherError], int] = {
    EngineUnavailable: 3,
    ImageNotFound: 4,
    WrongArchitecture: 5,
    EnvironmentUnavailable: 6,
    BuildFailed: 7,
    StepFailed: 7,
    PushFailed: 8,
    SpecInvalid: 9,
    PluginInvalid: 10,
}
OTHER = 1
INTERRUPTED = 130
TERMINATED = 143


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turns errors into a line on standard error and an exit code.

    A polite signal ends what is under way as Ctrl-C does, so that nothing half-made stays.
    """
    former = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    except TetherError as problem:
        click.echo(f"runtime-build: {problem}", err=True)
        sys.exit(EXIT_CODES.get(type(problem), OTHER))
    except KeyboardInterrupt:
        click.echo("runtime-build: interrupted; nothing half-made is left", err=True)
        sys.exit(INTERRUPTED)
    finally:
        signal.signal(signal.SIGTERM, former or signal.SIG_DFL)


def _end(_: int, __: FrameType | None) -> None:
    raise SystemExit(TERMINATED)
