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
