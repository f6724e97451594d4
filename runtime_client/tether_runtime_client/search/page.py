"""A page of results: as many as were asked for and as fit into one frame."""

from __future__ import annotations

import json
from typing import Any

MAX_BYTES = 3 * 1024 * 1024
"""The most bytes of JSON one page takes, whatever number was asked for."""


class Page:
    """Takes results in order: those before `offset` are passed over, `limit` are kept."""

    def __init__(self, offset: int, limit: int) -> None:
        self._offset = offset
        self._limit = limit
        self._seen = 0
        self._room = MAX_BYTES
        self.items: list[dict[str, Any]] = []
        #: Where the next page begins; None while nothing was left over.
        self.next_offset: int | None = None

    @property
    def passes_over(self) -> bool:
        """Whether the next result is before the page: nobody needs to make it."""
        return self._seen < self._offset

    @property
    def wanted(self) -> int:
        """How many more results say all there is to say, whether there is a next page included."""
        return self._offset + self._limit + 1 - self._seen

    def skip(self) -> None:
        """A result before the page."""
        self._seen += 1

    def add(self, item: dict[str, Any]) -> bool:
        """The next result; False when the page was full before it, and the search may end."""
        if self.passes_over:
            self.skip()
            return True
        self._room -= len(json.dumps(item))
        if len(self.items) >= self._limit or (self._room < 0 and self.items):
            self.next_offset = self._seen
            return False
        self._seen += 1
        self.items.append(item)
        return True
