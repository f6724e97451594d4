"""Plugins on the command line: their names, completed, and their configurations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click
from click.shell_completion import CompletionItem


class PluginNames(click.types.StringParamType):
    """A plugin's name, or several with commas; those installed are offered, any is taken."""

    name = "plugin"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The installed ones that start like what is behind the last comma."""
        from tether_runtime_client.plugin.discovery import PluginPackage, plugin_packages

        before, comma, begun = incomplete.rpartition(",")
        taken = before.split(",")
        return [
            CompletionItem(f"{before}{comma}{name}", help=found.declaration.summary)
            for name, found in plugin_packages().items()
            if isinstance(found, PluginPackage) and name.startswith(begun) and name not in taken
        ]


PLUGINS = PluginNames()


class SidecarName(click.types.StringParamType):
    """A plugin that has a sidecar; those installed are offered, any is taken."""

    name = "sidecar"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The installed ones that start like that."""
        from tether_runtime_client.plugin.discovery import PluginPackage, plugin_packages

        return [
            CompletionItem(name, help=found.declaration.summary)
            for name, found in plugin_packages().items()
            if isinstance(found, PluginPackage)
            and found.declaration.sidecar is not None
            and name.startswith(incomplete)
        ]


SIDECAR = SidecarName()


def asked_sidecars(words: Sequence[str]) -> dict[str, dict[str, object]]:
    """The sidecars by their plugins' names, as the runtime takes them.

    Raises `click.UsageError` for limits that cannot be read.
    """
    asked: dict[str, dict[str, object]] = {}
    for word in words:
        name, *limits = word.split(",")
        asked[name] = {"resources": dict(map(resource, limits))}
    return asked


def resource(word: str) -> tuple[str, object]:
    """`NAME=VALUE`; what reads as a number, true, false or another value of JSON is one."""
    name, given, text = word.partition("=")
    if not name or not given:
        raise click.UsageError(f"{word!r} is no resource: NAME=VALUE, such as shm_size=1g")
    try:
        return name, json.loads(text)
    except ValueError:
        return name, text


def asked_for(
    names: Sequence[str], configs: Sequence[str], packages: Sequence[str]
) -> dict[str, dict[str, object] | None]:
    """The plugins by name with their configurations, as the runtime takes them.

    Raises `click.UsageError` for a configuration that cannot be read or is of no plugin asked for.
    """
    asked: dict[str, dict[str, object] | None] = {
        name: None for several in names for name in several.split(",") if name
    }
    for word in configs:
        name, config = _config(word)
        if name not in asked and not packages:
            raise click.UsageError(f"--plugin-config is of {name!r}: give --plugin {name} too")
        asked[name] = config
    return asked


def _config(word: str) -> tuple[str, dict[str, object]]:
    """`NAME=JSON`, or `NAME=@FILE` for the JSON in a file."""
    name, given, text = word.partition("=")
    if not name or not given:
        raise click.UsageError(f"{word!r} is no configuration: NAME=JSON, or NAME=@FILE")
    return name, json_object(f"the configuration of {name}", text)


def json_object(what: str, text: str) -> dict[str, object]:
    """The JSON object that is written there, or is in the file after an `@`.

    Raises `click.UsageError`, in which it is called `what`.
    """
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text()
        except (OSError, UnicodeDecodeError) as problem:
            raise click.UsageError(f"{what}: {problem}") from None
    try:
        value = json.loads(text)
    except ValueError as problem:
        raise click.UsageError(f"{what} is no JSON: {problem}") from None
    if not isinstance(value, dict):
        raise click.UsageError(f'{what} is no object, such as {{"key": 1}}')
    return value
