"""The options of `runtime-build` that are about plugins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

Function = TypeVar("Function", bound=Callable[..., object])


def plugin_options(command: Function) -> Function:
    """`--plugins` and `--plugin-package`."""
    for option in (
        click.option(
            "--plugin-package",
            "plugin_packages",
            multiple=True,
            callback=_packages,
            metavar="PKG|PATH",
            help="A package with plugins: a pip requirement, or the path of a source folder or a"
            " wheel. Several: with commas, or the option again.",
        ),
        click.option(
            "--plugins",
            multiple=True,
            callback=_names,
            shell_complete=_installed,
            metavar="NAME,...",
            help="Plugins that are installed here, to put in beside the client. Several: with"
            " commas, or the option again.",
        ),
    ):
        command = option(command)
    return command


def declaration_as_data(value: Any) -> Any:
    """For JSON: what a plugin says of itself."""
    return value.model_dump(mode="json")


def _names(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name.strip() for value in values for name in value.split(",") if name.strip())


def _packages(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        return ()
    from .plugins.asked import split_packages

    return tuple(text for value in values for text in split_packages(value))


def _installed(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """For the shell: names of installed plugins, also behind a comma."""
    from tether_runtime_client.plugin.discovery import plugin_packages

    before, comma, beginning = incomplete.rpartition(",")
    given = set(before.split(","))
    names = sorted(name for name in plugin_packages() if name.startswith(beginning))
    return [CompletionItem(f"{before}{comma}{name}") for name in names if name not in given]
