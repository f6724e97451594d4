"""The `tether` command: its subcommands, each imported when it is used, and how failures end."""

from __future__ import annotations

import os
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click

from tether_runtime_client.version import VERSION

from .failures import report_failure

COMMANDS = {
    "run": "Run a command in a fresh sandbox.",
    "exec": "Run a command in a running sandbox, or leave one running there.",
    "shell": "Open an interactive terminal in a sandbox.",
    "ps": "List sandboxes.",
    "rm": "Remove sandboxes.",
    "cp": "Copy files into a sandbox, out of it, or between two.",
    "forward": "Make ports of a sandbox reachable here.",
    "reverse": "Make ports of here reachable in a sandbox.",
    "events": "Show what happened in a sandbox.",
    "plugins": "List plugins: those installed here, or those of a sandbox.",
    "act": "Do an action of a plugin in a sandbox.",
    "skills": "List what the agent in a sandbox can call.",
    "rotate": "Change the secret of a sandbox.",
    "doctor": "Check this machine, or one sandbox.",
}
"""Each subcommand's module, and its help in one line."""

EPILOG = """\b
Exit codes:
  run, exec,  that of the command; 128 + N when signal N ended it
  shell
  125         tether itself failed, or was used wrongly
  126, 127    the command cannot be executed; there is no such command
  128 + N     signal N ended tether (130: Ctrl-C); all was cleaned up
  1           doctor: something that is needed is missing

\b
Completion of commands, options and names, for bash (zsh and fish likewise):
  eval "$(_TETHER_COMPLETE=bash_source tether)"
"""


class Commands(click.Group):
    """The subcommands, and the one place where errors become messages and exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All of them, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f".{cmd_name}", __package__).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Say which one is near to what there is not."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            near = get_close_matches(args[0], COMMANDS, n=1)
            meant = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"there is no command {args[0]!r}.{meant}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list without importing what is listed."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run a subcommand."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except (Exception, KeyboardInterrupt) as problem:
            return report_failure(problem, debug=ctx.params["debug"])


@click.group(
    cls=Commands,
    epilog=EPILOG,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--debug", is_flag=True, help="Show where an error comes from.")
@click.version_option(VERSION, prog_name="tether")
@click.pass_context
def tether(ctx: click.Context, debug: bool) -> None:
    """Run an AI agent's actions inside any container image."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
    if debug:
        import logging

        logging.basicConfig(level=logging.DEBUG)


def main(arguments: list[str] | None = None) -> int:
    """The console script; returns the exit code."""
    _hold_closed_streams()
    try:
        code = tether.main(arguments, prog_name="tether", standalone_mode=False)
    except (click.ClickException, click.Abort) as problem:
        code = report_failure(problem, debug=False)
    return code or 0


def _hold_closed_streams() -> None:
    """Open what was closed, the wrong way: its use fails, and no other file gets its number."""
    for number, wrong_way in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_RDONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, wrong_way)
