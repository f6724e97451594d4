"""`python -m benchmarks`: which measurements, on what, and where the figures go."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import click
from rich.console import Console

from . import (
    beside,
    browser,
    connections,
    crowd,
    execs,
    files,
    idle,
    injection,
    journal,
    jupyter,
    latency,
    machine,
    plugins,
    ports,
    reconnect,
    replay,
    stages,
    startup,
    throughput,
    transports,
)
from .display import show
from .plan import PEERS, Plan
from .report import Report

MEASUREMENTS: dict[str, Callable[[Plan], Awaitable[Report]]] = {
    "latency": latency.measure,
    "beside": beside.measure,
    "stages": stages.measure,
    "throughput": throughput.measure,
    "crowd": crowd.measure,
    "exec": execs.measure,
    "files": files.measure,
    "startup": startup.measure,
    "injection": injection.measure,
    "idle": idle.measure,
    "ports": ports.measure,
    "journal": journal.measure,
    "jupyter": jupyter.measure,
    "plugins": plugins.measure,
    "browser": browser.measure,
    "transports": transports.measure,
    "reconnect": reconnect.measure,
    "replay": replay.measure,
    "connections": connections.measure,
}
IMAGE = "tether-test/debian:bookworm"

_names = click.Choice(list(MEASUREMENTS))
_peers = click.Choice(PEERS)
_backends = click.Choice(["local", "docker"])


@click.command()
@click.option("--quick", is_flag=True, help="Tiny counts, local only: shows that it works.")
@click.option("--only", type=_names, multiple=True, help="Only this measurement; may be repeated.")
@click.option("--backend", "backends", type=_backends, multiple=True, help="Only this backend.")
@click.option("--peer", "peers", type=_peers, multiple=True, help="Only beside this peer.")
@click.option("--image", default=IMAGE, show_default=True, help="What docker is measured with.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write the figures here.")
def main(
    quick: bool,
    only: tuple[str, ...],
    backends: tuple[str, ...],
    peers: tuple[str, ...],
    image: str,
    file: Path | None,
) -> None:
    """Measure Tether beside floors and peers on this machine: in turns, as ratios of medians."""
    chosen = backends or (("local",) if quick else _all_backends())
    plan = Plan(chosen, image, quick, _tell, peers or PEERS)
    facts = machine.describe()
    console = Console(soft_wrap=False)
    console.print("\n".join(f"{name}: {value}" for name, value in facts.items()), end="\n\n")
    reports = []
    for name in only or MEASUREMENTS:
        reports.append(_measure(name, plan))
        show(reports[-1], console)
    if file is not None:
        data = {"machine": facts, "reports": [report.as_data() for report in reports]}
        file.write_text(json.dumps(data, indent=2) + "\n")


def _tell(text: str) -> None:
    click.secho(text, err=True, dim=True)


def _measure(name: str, plan: Plan) -> Report:
    """Histories of what is measured are nobody's: they go with the folder they are in."""
    with tempfile.TemporaryDirectory(prefix="tether-bench-") as state:
        os.environ["TETHER_STATE_DIR"] = state
        return asyncio.run(_await(MEASUREMENTS[name](plan)))


async def _await(measurement: Awaitable[Report]) -> Report:
    return await measurement


def _all_backends() -> tuple[str, ...]:
    helper = Path(__file__).parent.parent / "docker" / "engine"
    if subprocess.run([helper, "status"], capture_output=True).returncode:
        click.echo("no container engine answers: only the local backend is measured", err=True)
        return ("local",)
    return ("local", "docker")


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
