"""What a session tells its owner beside the commands' own ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .command import StateLost

if TYPE_CHECKING:
    from .session import ShellSession


class SessionListener(Protocol):
    """Told about what belongs to no command. Called on the loop; must not block."""

    def background_output(self, session: ShellSession, data: memoryview | bytes, /) -> None:
        """Output that came while no command ran. Copy what is kept."""

    def warning(self, session: ShellSession, message: str, /) -> None:
        """Something odd that was dealt with: a forged report, a startup file that failed."""

    def ended(self, session: ShellSession, lost: StateLost, /) -> None:
        """The shell ended or was given up; a new one takes its place."""
