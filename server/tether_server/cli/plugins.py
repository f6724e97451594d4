"""`tether plugins`: those that are installed here, or those of a sandbox and how they are."""

from __future__ import annotations

import json
from collections.abc import Iterable

import click

from tether_runtime_client.plugin.discovery import PluginPackage, plugin_packages
from tether_runtime_client.protocol.errors import PluginInvalid
from tether_runtime_client.protocol.plugin_observations import PluginInfo

from ..operator import OperatorRuntime
from .failures import complain
from .interrupts import run_async
from .names import SANDBOX
from .text import clipped, shortened, visible

HEADINGS = ("NAME", "VERSION", "STATE", "PID", "PORTS", "")
NAME_WIDTH, NOTE_WIDTH = 32, 160


@click.command()
@click.argument("name", type=SANDBOX, required=False)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(name: str | None, as_json: bool) -> int:
    """List the plugins that are installed here, or those of the sandbox NAME and how they are.

    Of a sandbox each plugin that runs is asked for its health. None is started for it: one is idle
    until its first action.
    """
    if name is None:
        _show_installed(plugin_packages(), as_json=as_json)
        return 0

    async def show() -> int:
        async with OperatorRuntime.beside(name) as runtime:
            _show_running(await runtime.plugins(health=True), as_json=as_json)
        return 0

    return run_async(lambda _: show())


def _show_installed(found: dict[str, PluginPackage | PluginInvalid], *, as_json: bool) -> None:
    usable = [one for one in found.values() if isinstance(one, PluginPackage)]
    if as_json:
        click.echo(json.dumps([_installed_as_json(one) for one in usable], indent=2))
    else:
        click.echo("\n".join(map(_installed, usable)), nl=False)
    for name, problem in found.items():
        if isinstance(problem, PluginInvalid):
            complain(f"the plugin {visible(name)} cannot be used: {problem.message}", problem.hint)


def _installed(package: PluginPackage) -> str:
    declaration = package.declaration
    head = f"{click.style(declaration.name, bold=True)} {visible(package.version)}"
    ports = (f"{name} ({port})" for name, port in declaration.ports.items())
    lines = {
        "actions": ", ".join(declaration.actions),
        "events": ", ".join(declaration.events),
        "skills": ", ".join(declaration.skills),
        "commands": ", ".join(declaration.commands),
        "ports": visible(", ".join(ports)),
        "package": visible(package.distribution),
        "missing": visible(", ".join(package.missing)),
    }
    about = "".join(f"    {what:<9}{text}\n" for what, text in lines.items() if text)
    return f"{head}  {visible(declaration.summary)}\n{about}"


def _installed_as_json(package: PluginPackage) -> dict[str, object]:
    declaration = package.declaration
    return {
        "name": declaration.name,
        "version": package.version,
        "summary": declaration.summary,
        "distribution": package.distribution,
        "actions": list(declaration.actions),
        "events": list(declaration.events),
        "skills": list(declaration.skills),
        "commands": list(declaration.commands),
        "ports": dict(declaration.ports),
        "missing": list(package.missing),
    }


def _show_running(plugins: Iterable[PluginInfo], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([one.model_dump(mode="json") for one in plugins], indent=2))
        return
    table = [HEADINGS, *map(_row, plugins)]
    widths = [max(len(click.unstyle(row[i])) for row in table) for i in range(len(HEADINGS) - 1)]
    for row in table:
        cells = [
            cell + " " * (width - len(click.unstyle(cell)))
            for cell, width in zip(row, [*widths, 0], strict=True)
        ]
        click.echo("  ".join(cells).rstrip())


def _row(info: PluginInfo) -> tuple[str, ...]:
    ports = ", ".join(f"{info.name}.{name} {port}" for name, port in info.ports.items())
    return (
        info.name,
        clipped(visible(info.version), NAME_WIDTH),
        _state(info),
        "-" if info.pid is None else str(info.pid),
        clipped(visible(ports), NOTE_WIDTH) or "-",
        shortened(info.problem or "", NOTE_WIDTH),
    )


def _state(info: PluginInfo) -> str:
    if info.state == "failed":
        return click.style("failed", fg="red")
    if info.problem and info.state == "running":
        return click.style("unwell", fg="yellow")
    return info.state
