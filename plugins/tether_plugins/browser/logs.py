"""What happened on a context's pages since somebody looked."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from tether_runtime_client.protocol.browser import ConsoleMessage, FailedRequest, ShownDialog

from . import limits
from .limits import cut

if TYPE_CHECKING:
    from playwright.async_api import ConsoleMessage as Console
    from playwright.async_api import Request, Response, WebError

T = TypeVar("T")


class Entries(Generic[T]):
    """The last ones, and how many there were before them."""

    def __init__(self) -> None:
        self._kept: deque[T] = deque(maxlen=limits.ENTRIES)
        self._seen = 0

    def add(self, entry: T) -> None:
        self._kept.append(entry)
        self._seen += 1

    def take(self) -> tuple[tuple[T, ...], int]:
        """Them, and how many are missing; they are not told again."""
        kept = tuple(self._kept)
        omitted = self._seen - len(kept)
        self._kept.clear()
        self._seen = 0
        return kept, omitted


class Log:
    """Of one context."""

    def __init__(self) -> None:
        self.console: Entries[ConsoleMessage] = Entries()
        self.failed_requests: Entries[FailedRequest] = Entries()
        self.dialogs: Entries[ShownDialog] = Entries()

    def wrote(self, message: Console) -> None:
        """A page wrote to its console."""
        at = message.location
        place = f"{at.get('url', '')}:{at.get('lineNumber', 0) + 1}" if at else ""
        self._say(message.type, message.text, place)

    def raised(self, problem: WebError) -> None:
        """A script of a page ended with an exception that nobody caught."""
        error = problem.error
        self._say("exception", error.stack or str(error), "")

    def failed(self, request: Request) -> None:
        """No answer came. A download ends its navigation this way, and is no failure."""
        why = request.failure or "failed"
        if not (why == "net::ERR_ABORTED" and request.is_navigation_request()):
            self._request(request, None, why)

    def answered(self, response: Response) -> None:
        """An answer came, maybe a bad one."""
        if response.status >= 400:
            self._request(response.request, response.status, None)

    def _say(self, kind: str, text: str, place: str) -> None:
        self.console.add(
            ConsoleMessage(
                kind=cut(kind, limits.NAME),
                text=cut(text, limits.ENTRY),
                location=cut(place, limits.ENTRY),
            )
        )

    def _request(self, request: Request, status: int | None, error: str | None) -> None:
        self.failed_requests.add(
            FailedRequest(
                method=cut(request.method, limits.NAME),
                url=cut(request.url, limits.ENTRY),
                kind=cut(request.resource_type, limits.NAME),
                status=status,
                error=error if error is None else cut(error, limits.ENTRY),
            )
        )
