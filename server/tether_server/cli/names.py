"""Names of sandboxes as arguments, completed by the shell."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem


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
