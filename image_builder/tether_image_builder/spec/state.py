"""What the linter remembers of the commands that it has seen."""

from __future__ import annotations

from .calls import Call
from .model import ShellStep

APT = ("apt-get", "apt", "aptitude")
INSTALLS = ("install", "upgrade", "dist-upgrade", "full-upgrade", "build-dep")
CHANGES = (*INSTALLS, "remove", "purge", "autoremove", "autopurge", "reinstall", "satisfy")
_OPTIONS_WITH_WORD = ("-o", "-c", "-t", "--option", "--config-file", "--target-release")
FRONTEND = "DEBIAN_FRONTEND"
QUIET = "noninteractive"


class State:
    """Where package lists were fetched, and what became of DEBIAN_FRONTEND."""

    def __init__(self) -> None:
        self.updated_before = False
        self.updated_here = False
        self.frontend = QUIET

    def begin_step(self, step: ShellStep) -> None:
        """A step begins: variables are as the builder sets them."""
        self.updated_before = self.updated_before or self.updated_here
        self.updated_here = False
        self.frontend = step.env.get(FRONTEND, QUIET)

    def take(self, call: Call) -> None:
        """A call has been looked at."""
        if call.program in APT and apt_verb(call) == "update":
            self.updated_here = True
        if call.program in ("", "export", "declare", "readonly"):
            self.frontend = call.assignments.get(FRONTEND, self.frontend)
        if call.program == "unset" and FRONTEND in call.arguments:
            self.frontend = ""


def apt_verb(call: Call) -> str:
    """What apt is told to do: the first word that is no option."""
    words = list(call.arguments)
    while words:
        word = words.pop(0)
        if word in _OPTIONS_WITH_WORD:
            words = words[1:]
        elif not word.startswith("-"):
            return word
    return ""
