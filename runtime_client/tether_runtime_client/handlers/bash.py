"""Which bash this client's sessions run, and why."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from ..settings import ClientSettings


@dataclass(frozen=True, slots=True)
class BashChoice:
    """A path, empty when there is no usable bash, and the reason in a few words."""

    path: str
    reason: str


def choose_bash(settings: ClientSettings) -> BashChoice:
    """The one asked for, else the image's, else the bundled one."""
    if settings.bash is not None:
        return BashChoice(settings.bash, "asked for")
    found = shutil.which("bash")
    if found:
        return BashChoice(found, "the image's own")
    return BashChoice(settings.bundled_bash or "", "the image has none")
