"""What an action did and saw, as its observation."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from tether_runtime_client.protocol.browser import (
    BrowseInteractiveAction,
    BrowserInfo,
    BrowserOutputObservation,
    BrowserPart,
    BrowserTimings,
    BrowseURLAction,
)

from . import limits
from .failures import StepProblem
from .limits import cut

if TYPE_CHECKING:
    from .observe import Seen
    from .session import Session

_LOGGED: tuple[BrowserPart, ...] = ("console", "failed_requests", "dialogs")


class Work:
    """One action: what it did so far, and how long that took."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.starting = 0.0
        self.steps: list[float] = []
        self.results: list[JsonValue] = []

    def keep(self, value: JsonValue) -> None:
        """A step's value; raises `StepProblem` where there would be too many."""
        if sum(len(repr(each)) for each in (*self.results, value)) > limits.RESULTS:
            said = f"the values of all steps take more than {limits.RESULTS:,} bytes"
            raise StepProblem("other", said)
        self.results.append(value)

    def timings(self, seen: Seen) -> BrowserTimings:
        """Until now."""
        found = seen.timings if seen.timings is not None else BrowserTimings(total=0)
        return found.model_copy(
            update={
                "total": round(time.monotonic() - self.began, 4),
                "starting": round(self.starting, 4),
                "steps": tuple(self.steps),
            }
        )


def observation(
    session: Session,
    action: BrowseURLAction | BrowseInteractiveAction,
    work: Work,
    seen: Seen,
    browser: BrowserInfo,
) -> BrowserOutputObservation:
    """What happened since the last one is told in this one, or left out for good."""
    tab = session.tab
    parts: dict[str, Any] = {}
    omitted: dict[BrowserPart, int] = {}
    for name in _LOGGED:
        parts[name], count = getattr(session.log, name).take()
        if count and name not in action.omit:
            omitted[name] = count
    parts["downloads"] = session.downloads.take()
    parts["tabs"] = session.tabs.listed(seen.titles)
    for part in action.omit:
        parts.pop(part, None)
    return BrowserOutputObservation(
        url=cut(tab.page.url, limits.URL),
        title=seen.title,
        status=tab.status,
        loading=tab.loading,
        context=action.context,
        tab=tab.number,
        tree=seen.tree if "tree" not in action.omit else "",
        tree_path=seen.tree_path,
        focused=seen.focused,
        text=seen.text,
        text_path=seen.text_path,
        truncated=tuple(seen.truncated),
        omitted=omitted,
        screenshot=seen.screenshot,
        results=tuple(work.results),
        missing=dict(seen.missing),
        timings=work.timings(seen) if "timings" not in action.omit else None,
        browser=browser,
        **parts,
    )
