"""A short session in a real container: what Tether does, in the order you would try it.

Run by `make demo`. Takes an image as its only argument; without a container engine the same
session runs in a process on this machine.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

import click

from tether_server import (
    CmdInputAction,
    CmdOutputDelta,
    CmdRunAction,
    EngineUnavailable,
    EventStreamRuntime,
)
from tether_server.cli.show import describe

IMAGE = "tether-test/debian:bookworm"
LONG_COMMAND = 'for i in 1 2 3 4 5; do echo "step $i of 5"; sleep 0.2; done'


def heading(text: str) -> None:
    """Say what comes next."""
    click.secho(f"\n▸ {text}", bold=True)


async def session(runtime: EventStreamRuntime, folder: Path) -> None:
    """The main job: state, a prompt, files, a long command."""
    heading("State is kept from one command to the next")
    await runtime.run(
        CmdRunAction(command="mkdir -p /tmp/demo && cd /tmp/demo && export WHO=agent")
    )
    seen = await runtime.run(CmdRunAction(command='echo "I am $WHO in $PWD"'))
    click.echo(seen.content, nl=False)
    if (seen.exit_code, seen.content) != (0, "I am agent in /tmp/demo\n"):
        raise SystemExit("the session lost its state")

    heading("A program that asks is seen to wait, and is answered")
    asked = await runtime.run(CmdRunAction(command='read -p "Go on? " answer; echo "got $answer"'))
    click.echo(f"{asked.content}   [{asked.status}]")
    answered = await runtime.run(CmdInputAction(text="yes\n"))
    click.echo(answered.content, nl=False)

    heading("A file goes up, and comes back changed")
    (folder / "letter.txt").write_text("dear sandbox\n")
    await runtime.upload(folder / "letter.txt", "/tmp/demo/letter.txt")
    await runtime.run(CmdRunAction(command="tr a-z A-Z < letter.txt > reply.txt"))
    await runtime.download("/tmp/demo/reply.txt", folder / "reply.txt")
    click.echo((folder / "reply.txt").read_text(), nl=False)

    heading("A long command is streamed")
    async for event in runtime.stream(CmdRunAction(command=LONG_COMMAND)):
        if isinstance(event, CmdOutputDelta):
            click.echo(event.content, nl=False)


async def main(image: str) -> None:
    """Run the session in a container where there is an engine, else on this machine."""
    try:
        await run(EventStreamRuntime(image, progress=show_progress))
    except EngineUnavailable as problem:
        click.secho(f"{problem.message}.", fg="yellow", err=True)
        click.secho("The demo goes on in a process on this machine, not isolated.", fg="yellow")
        await run(EventStreamRuntime(backend="local"))


async def run(runtime: EventStreamRuntime) -> None:
    """One runtime's whole life, and its history afterwards."""
    began = time.monotonic()
    async with runtime:
        click.echo(f"ready after {time.monotonic() - began:.1f} s ({runtime.connection})")
        with tempfile.TemporaryDirectory() as folder:
            await session(runtime, Path(folder))
    heading("The whole event stream, readable now that the sandbox is gone")
    for event in runtime.events.since(0):
        click.echo(describe(event))


def show_progress(message: str) -> None:
    """Say on standard error what is being waited for."""
    click.secho(f"  {message}", dim=True, err=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else IMAGE))
