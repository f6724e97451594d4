"""The command `runtime-build`."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from tether_runtime_client.version import VERSION

from .catalog import AUTO, find_recipe, recipe_names
from .cli_plugins import declaration_as_data, plugin_options
from .cli_prune import prune
from .cli_spec import findings_in, loaded_spec, spec_options
from .display import open_display
from .errors import EnvironmentUnavailable, TagOfTheBase
from .exits import exit_codes
from .names import is_valid_tag
from .platforms import normal_platform

EPILOG = """
\b
Examples:
  runtime-build python:3.12-slim
  runtime-build --platform linux/arm64 --tag registry.example/team/app:1 --push app:1
  runtime-build --dry-run debian:bookworm
  runtime-build --spec task.toml
  runtime-build --plugins jupyter --plugin-package ./my-plugin debian:bookworm
  runtime-build prune --older-than 7d

\b
Commands:
  prune  Remove images and environments that are no longer wanted.
         (An image that is really called prune is written prune:latest.)

\b
The name of the built image is the last line of standard output; all else goes to
standard error. On a terminal a line shows what is done at the moment; elsewhere, and
where CI is set, each step is a line.

\b
Exit codes:
  0    the image is there
  1    another error
  2    wrong usage
  3    no container engine answers
  4    the image is neither here nor can it be pulled
  5    there is no environment for what the image runs on
  6    the runtime environment cannot be built
  7    the build failed
  8    the image is made, and its registry did not take it
  9    the spec cannot be used, or --strict forbids what is in it
  10   a plugin cannot be used, or not together with another one
  130  interrupted (143: terminated); nothing half-made is left
"""


class _FirstWord(click.Command):
    """A command that hands over to another one where the first word is that one's name."""

    others: dict[str, click.Command] = {prune.name or "": prune}  # noqa: RUF012

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """The other command's context where it is meant."""
        other = self.others.get(args[0]) if args else None
        if other is None:
            return super().make_context(info_name, args, parent, **extra)
        return other.make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs whichever command the context is of."""
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)


def _valid_tag(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is not None and not is_valid_tag(value):
        raise click.BadParameter("no valid name for an image; one is team/app:1")
    return value


def _environment(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    try:
        if value not in (AUTO, None):
            find_recipe(value)
    except ValueError as problem:
        raise click.BadParameter(str(problem)) from None
    except EnvironmentUnavailable as problem:
        raise click.BadParameter(problem.message) from None
    return value


def _environments(_: click.Context, __: click.Parameter, beginning: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in recipe_names() if name.startswith(beginning)]


def _platform(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    try:
        return None if value is None else normal_platform(value)
    except ValueError as problem:
        raise click.BadParameter(str(problem)) from None


def _arguments(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """A name alone takes its value from the environment, and is left out where there is none."""
    found = {}
    for value in values:
        name, is_given, text = value.partition("=")
        if not name:
            raise click.BadParameter(f"{value!r} is not of the form KEY=VALUE")
        if is_given or name in os.environ:
            found[name] = text if is_given else os.environ[name]
    return found


def _certificate(_: click.Context, __: click.Parameter, value: str | None) -> Path | None:
    from .build import read_certificate

    if value is None:
        return None
    try:
        read_certificate(Path(value))
    except (OSError, ValueError) as problem:
        raise click.BadParameter(str(problem)) from None
    return Path(value)


def _images(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """For the shell: the images that are here, and the other commands."""
    from .completion import image_names

    others = [name for name in _FirstWord.others if name.startswith(incomplete)]
    return [CompletionItem(name) for name in (*others, *image_names(incomplete))]


@click.command(
    cls=_FirstWord, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(VERSION, prog_name="runtime-build")
@click.argument("image", required=False, shell_complete=_images)
@click.option(
    "--env",
    callback=_environment,
    shell_complete=_environments,
    show_default=AUTO,
    metavar="auto|miniforge|portable|RECIPE",
    help="The runtime environment that is put in: auto for the best one that can be had, or a"
    " recipe's name or folder.",
)
@click.option("--tag", callback=_valid_tag, help="One more name for the built image.")
@click.option(
    "--platform",
    callback=_platform,
    metavar="OS/ARCH",
    help="Which variant of IMAGE to take, as in linux/arm64.",
)
@click.option(
    "--build-arg",
    "build_args",
    multiple=True,
    callback=_arguments,
    metavar="KEY[=VALUE]",
    help="A value for an ARG of a build step; KEY alone takes it from the environment.",
)
@click.option(
    "--ca-certificate",
    callback=_certificate,
    metavar="FILE",
    help="A PEM file that build steps trust while they run; it is no part of the image.",
)
@plugin_options
@spec_options
@click.option("--push", is_flag=True, help="Send the built image to the registry of its name.")
@click.option("--no-cache", is_flag=True, help="Build again, whatever is there.")
@click.option("--dry-run", is_flag=True, help="Print the Dockerfile and change nothing.")
@click.option(
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="What standard output holds: the image's name, or all about it.",
)
def main(
    image: str | None,
    spec_file: Path | None,
    only_lint: bool,
    dry_run: bool,
    output: str,
    **options: Any,
) -> None:
    """Put the runtime client into IMAGE, so that an agent's actions can run in it.

    IMAGE is a name, a digest reference or an id; it is pulled if it is not here, and stays as it
    is. The new image is named after it, with `_tether` and a fingerprint of all that went in;
    where that image is there already, nothing is done. It runs as IMAGE does until Tether starts
    it. IMAGE may be left out where a spec names it.
    """
    if output == "json" and (dry_run or only_lint):
        raise click.UsageError("--output json is for a build, not for --dry-run and --lint.")
    with exit_codes():
        spec = options["spec"] = loaded_spec(spec_file, image, only_lint=only_lint)
        if spec is not None and only_lint:
            click.echo(findings_in(spec, strict=options["strict"]), nl=False)
        elif dry_run:
            click.echo(_dockerfile(image, options), nl=False)
        else:
            click.echo(_built(image, output, options))


def _built(image: str | None, output: str, options: dict[str, Any]) -> str:
    from .build import build_image

    try:
        with open_display(sys.stderr) as display:
            result = build_image(image, progress=display, **options)
    except TagOfTheBase as problem:
        raise click.UsageError(str(problem)) from None
    if output == "text":
        return result.tag
    return json.dumps(dataclasses.asdict(result), indent=2, default=declaration_as_data)


def _dockerfile(image: str | None, options: dict[str, Any]) -> str:
    from .dry_run import dry_run

    names = ("spec", "env", "build_args", "strict", "plugins", "plugin_packages")
    with open_display(sys.stderr) as display:
        return dry_run(image, progress=display, **{name: options[name] for name in names})
