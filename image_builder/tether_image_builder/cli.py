"""The command `runtime-build`."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import TYPE_CHECKING

import click

from .display import Display, open_display
from .environment import ENVIRONMENTS
from .errors import (
    BuildFailed,
    EngineUnavailable,
    EnvironmentUnavailable,
    ImageNotFound,
    PushFailed,
    TetherError,
    WrongArchitecture,
)
from .names import is_valid_tag

if TYPE_CHECKING:
    from .models import BuildResult

EXIT_CODES: dict[type[TetherError], int] = {
    EngineUnavailable: 3,
    ImageNotFound: 4,
    WrongArchitecture: 5,
    EnvironmentUnavailable: 6,
    BuildFailed: 7,
    PushFailed: 8,
}

EPILOG = """
\b
The name of the built image is the last line of standard output; all else goes to
standard error.

\b
Exit codes:
  0  the image is there
  1  interrupted
  2  wrong usage
  3  no container engine answers
  4  the image is neither here nor can it be pulled
  5  the image is for another architecture than the engine's
  6  the runtime environment cannot be built
  7  the build failed
  8  the image is made, and its registry did not take it
"""


def _valid_tag(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is not None and not is_valid_tag(value):
        raise click.BadParameter("no valid name for an image; one is team/app:1")
    return value


@click.command(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("image")
@click.option(
    "--env",
    type=click.Choice(ENVIRONMENTS),
    default="auto",
    show_default=True,
    help="The runtime environment that is put in; auto takes the best one that can be had.",
)
@click.option("--tag", callback=_valid_tag, help="One more name for the built image.")
@click.option("--no-cache", is_flag=True, help="Build again, whatever is there.")
@click.option("--dry-run", is_flag=True, help="Print the Dockerfile and change nothing.")
@click.option(
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="What standard output holds: the image's name, or all about it.",
)
def main(image: str, env: str, tag: str | None, no_cache: bool, dry_run: bool, output: str) -> None:
    """Put the runtime client into IMAGE, so that an agent's actions can run in it.

    IMAGE stays as it is. The new image is named after it, with `_tether` and a fingerprint of
    all that went in; where that image is there already, nothing is done. It runs as IMAGE does
    until Tether starts it.
    """
    try:
        if dry_run:
            click.echo(_dockerfile(image, env), nl=False)
            return
        with open_display(sys.stderr) as display:
            result = _build(image, env, tag, display, no_cache=no_cache)
    except TetherError as problem:
        click.echo(f"runtime-build: {problem}", err=True)
        sys.exit(EXIT_CODES[type(problem)])
    click.echo(_as_json(result) if output == "json" else result.tag)


def _build(
    image: str, env: str, tag: str | None, display: Display, *, no_cache: bool
) -> BuildResult:
    from .build import build_image

    return build_image(image, env=env, tag=tag, no_cache=no_cache, progress=display)


def _dockerfile(image: str, env: str) -> str:
    from .engine import connected
    from .errors import image_not_found
    from .models import BuildOptions
    from .plan import make_plan

    with connected(None) as engine:
        found = engine.find(image)
        if found is None:
            raise image_not_found(image, "a dry run pulls nothing")
        plan = make_plan(image, found, BuildOptions(env=env))
    return f"# {plan.tag}\n{plan.dockerfile()}"


def _as_json(result: BuildResult) -> str:
    return json.dumps(dataclasses.asdict(result), indent=2)
