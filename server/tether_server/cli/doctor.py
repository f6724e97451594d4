"""`tether doctor`: what is missing, and how to get it."""

from __future__ import annotations

import click

from .findings import show
from .names import SANDBOX

UNHEALTHY = 1


@click.command()
@click.argument("name", required=False, type=SANDBOX)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(name: str | None, as_json: bool) -> int:
    """Check what this machine needs, or with NAME one sandbox, connection included.

    Leaves with exit code 1 when something that is needed is missing.
    """
    if name is None:
        from .machine_checks import check_machine

        findings = check_machine()
    else:
        from .sandbox_checks import check_sandbox

        findings = check_sandbox(name)
    return 0 if show(findings, as_json=as_json) else UNHEALTHY
