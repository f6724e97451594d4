"""What goes wrong with the browser."""

from __future__ import annotations

from .action import ActionError


class BrowserError(ActionError):
    """The base of what goes wrong with the browser."""

    code = "browser_error"


class BrowserNotStarted(BrowserError):
    """There is no browser, or it did not come up; `message` says why."""

    code = "browser_not_started"
    default_hint = "Look at the plugin's output in the sandbox, or set `executable` or `cdp_url`"


class BrowserLost(BrowserError):
    """The browser ended, or stood still, while the action ran. What the pages had is gone."""

    code = "browser_lost"
    default_hint = "The next action starts it again, with an empty context; load the page again"


class BrowserStepFailed(BrowserError):
    """A step failed, and those behind it were not begun. The page is there as it was left.

    `data` has `step`, its number from 0, `kind` (`click`), `reason` (`timeout`, `not_found`,
    `several`, `hidden`, `network`, `script`, `crashed`, `closed`, `other`), the page's `url`,
    and `results` of the `evaluate` steps before it.
    """

    code = "browser_step_failed"
    default_hint = "Look at the page with BrowseInteractiveAction() and go on from there"


class NoSuchContext(BrowserError):
    """There is no open context of that name."""

    code = "no_such_context"
    default_hint = "Load a page in it, or open it with BrowserOpenAction"


class BrowserLimit(BrowserError):
    """There are as many contexts or tabs as may be."""

    code = "browser_limit"
    default_hint = "Close a tab, use another context, or raise the limit in the configuration"
