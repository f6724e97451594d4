"""Where the descriptors are that a shell has for itself. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Descriptors:
    """The shell's private descriptors, in one block well above what programs use."""

    base: int

    @property
    def terminal(self) -> int:
        return self.base

    @property
    def stderr(self) -> int:
        """The standard error of commands: `exec 2>file` lasts because it is copied here."""
        return self.base + 1

    @property
    def status(self) -> int:
        return self.base + 2

    @property
    def null(self) -> int:
        return self.base + 3

    @property
    def mailboxes(self) -> tuple[int, int]:
        return self.base + 4, self.base + 5

    @property
    def saved_stderr(self) -> int:
        """Where bash keeps the command's standard error while a report is written.

        The saved copies of 0, 2 and 2 take the first free numbers after the block.
        """
        return self.base + 8

    @property
    def spare(self) -> int:
        return self.base + 12

    @property
    def end(self) -> int:
        return self.base + 16
