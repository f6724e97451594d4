"""What both ends take for granted unless somebody says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

DEFAULT_ENVIRONMENT: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("PAGER", "MANPAGER", "GIT_PAGER", "SYSTEMD_PAGER"), "cat"),
        **dict.fromkeys(("EDITOR", "VISUAL", "GIT_EDITOR", "GIT_SEQUENCE_EDITOR"), "true"),
        "DEBIAN_FRONTEND": "noninteractive",
        "APT_LISTCHANGES_FRONTEND": "none",
        "PROMPT_TOOLKIT_NO_CPR": "1",
    }
)
"""Variables of commands that the image, the runtime and its user have not set.

With them no pager and no editor waits for a person: pages are printed, texts taken as they are.
Python's prompts (IPython, aider, pgcli) do not ask where the cursor is: they would keep room for
menus, and their output would be half blank lines.
"""
