"""`tether skills`: what the agent in a sandbox can call."""

from __future__ import annotations

import json

import click

from ..operator import OperatorRuntime
from ..skills import Skills
from .failures import complain
from .interrupts import run_async
from .names import SANDBOX
from .text import visible


@click.command()
@click.argument("name", type=SANDBOX)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(name: str, as_json: bool) -> int:
    """List the agent's skills in the sandbox NAME, as for a prompt.

    They are plain functions, with their signatures and docstrings: to be imported in Python there,
    and called as `skill FUNCTION` in a shell. The sandbox needs the plugin agent_skills.
    """

    async def show() -> int:
        async with OperatorRuntime.beside(name) as runtime:
            _show(await runtime.skills(), as_json=as_json)
        return 0

    return run_async(lambda _: show())


def _show(skills: Skills, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([skill.model_dump(mode="json") for skill in skills], indent=2))
    else:
        click.echo(str(skills), nl=False)
    for problem in skills.problems:
        complain(visible(problem))
