"""The options of `runtime-build` that are about a spec."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from .spec import Spec

Function = TypeVar("Function", bound=Callable[..., object])


def spec_options(command: Function) -> Function:
    """`--spec`, `--lint` and `--strict`."""
    for option in (
        click.option("--strict", is_flag=True, help="What the linter finds in a spec is an error."),
        click.option(
            "--lint",
            "only_lint",
            is_flag=True,
            help="Print what the linter finds in a spec, and do nothing else.",
        ),
        click.option(
            "--spec",
            "spec_file",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="A TOML file with build steps to carry out on IMAGE first. It may name the image,"
            " the environment, the tag and the platform; what is given here counts more.",
        ),
    ):
        command = option(command)
    return command


def loaded_spec(file: Path | None, image: str | None, *, only_lint: bool) -> Spec | None:
    """The spec, if one is named.

    Raises:
        SpecInvalid: it cannot be used.
        click.UsageError: there is no image, or nothing to lint.
    """
    if file is None:
        if only_lint:
            raise click.UsageError("--lint needs a --spec.")
        if image is None:
            raise click.UsageError("Missing argument 'IMAGE'.")
        return None
    from .spec import load_spec

    spec = load_spec(file)
    if not only_lint and image is None and spec.image is None:
        raise click.UsageError(f"Missing argument 'IMAGE': {file} names none either.")
    return spec


def findings_in(spec: Spec, *, strict: bool) -> str:
    """What the linter finds, a line each.

    Raises:
        SpecInvalid: it found something, and is to be strict.
    """
    from .spec import lint
    from .spec.errors import findings_forbidden

    findings = lint(spec)
    if findings and strict:
        raise findings_forbidden(findings)
    return "".join(f"{finding}\n" for finding in findings)
