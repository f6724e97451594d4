"""What of a tree was not copied like the rest, and has to be told."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .message import Message

NOTES_LIMIT = 100
"""The most that are told one by one; their number counts all."""

NoteReason = Literal[
    "special_file", "dangling_link", "link_loop", "link_leads_out", "followed_out_of_tree"
]


class TransferNote(Message):
    """One name in a tree, why it is told, and whether it was copied all the same.

    `special_file`: a socket, device or named pipe, left out. `link_leads_out`: a symbolic link
    that is absolute or climbs out of the tree; left out, or copied as it is. Where links are
    followed: `dangling_link` and `link_loop` lead nowhere and are left out, `followed_out_of_tree`
    was copied from outside the tree. Bytes of `path` that are no UTF-8 are shown as escapes.
    """

    path: str
    reason: NoteReason
    copied: bool = False


Notes = Annotated[tuple[TransferNote, ...], Field(max_length=NOTES_LIMIT)]
NotesCount = Annotated[int, Field(ge=0)]


class NoteBook:
    """Gathers notes: the first ones whole, the rest as a number."""

    def __init__(self) -> None:
        self.first: list[TransferNote] = []
        self.total = 0

    def add(self, name: bytes, reason: NoteReason, *, copied: bool = False) -> None:
        """Note the member of that name."""
        self.total += 1
        if len(self.first) < NOTES_LIMIT:
            path = name.removeprefix(b"./").decode("utf-8", "backslashreplace")
            self.first.append(TransferNote(path=path, reason=reason, copied=copied))

    def extend(self, other: NoteBook) -> None:
        """Take over another's notes."""
        self.first = [*self.first, *other.first][:NOTES_LIMIT]
        self.total += other.total
