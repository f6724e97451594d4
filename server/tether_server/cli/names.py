"""Names of sandboxes, places and processes as arguments, completed by the shell."""

from __future__ import annotations

import asyncio
import re
import shlex
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from .text import clipped, visible

if TYPE_CHECKING:
    from tether_runtime_client.protocol.exec_actions import ExecEntry

HELP_WIDTH = 60
_ID = re.compile("[A-Za-z0-9_.:-]+")
ANSWER_TIMEOUT_S = 3.0
"""Who waits for a completion goes on typing after that."""


class SandboxName(click.types.StringParamType):
    """A sandbox's name; known ones are offered, any is taken."""

    name = "sandbox"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The folders that start like that."""
        from ..record import state_folder

        folders = (state_folder() / "sandboxes").glob("*/sandbox.json")
        names = sorted(folder.parent.name for folder in folders)
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


SANDBOX = SandboxName()


class Place(SandboxName):
    """`NAME:PATH` in a sandbox, or a path here."""

    name = "place"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Names with their colon; without a match the shell's own completion of files."""
        names = super().shell_complete(ctx, param, incomplete)
        return [CompletionItem(f"{item.value}:") for item in names] or [
            CompletionItem(incomplete, type="file")
        ]


PLACE = Place()


class ProcessId(click.types.StringParamType):
    """The id of a process in the sandbox that stands before it on the line, or its beginning."""

    name = "process"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Those that the sandbox tells; none when it does not answer."""
        from tether_runtime_client.protocol.errors import TetherError

        if not ctx.args:  # the option is at the line's end: nothing has become a parameter yet
            return []
        try:
            known = asyncio.run(_processes(ctx.args[0]))
        except (TetherError, OSError, TimeoutError):
            return []
        return [
            CompletionItem(one.id, help=clipped(visible(shlex.join(one.argv)), HELP_WIDTH))
            for one in known
            if one.id.startswith(incomplete) and _ID.fullmatch(one.id)  # it goes to a shell
        ]


async def _processes(name: str) -> tuple[ExecEntry, ...]:
    from ..operator import OperatorRuntime

    async with asyncio.timeout(ANSWER_TIMEOUT_S), OperatorRuntime.beside(name) as runtime:
        return await runtime.processes()


PROCESS = ProcessId()
