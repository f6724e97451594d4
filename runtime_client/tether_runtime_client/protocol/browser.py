"""Pages in a browser: the actions and the observation of the plugin `browser`.

They cross the wire as every plugin's do, unread by the client. What a page says is hostile: each
part is bounded before it becomes one of these.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from .action import Seconds
from .browser_parts import (
    BrowserCredentials,
    BrowserDownload,
    BrowserInfo,
    BrowserPart,
    BrowserProxy,
    BrowserScreenshot,
    BrowserTab,
    BrowserTimings,
    ConsoleMessage,
    ContextSettings,
    FailedRequest,
    FocusedElement,
    ShownDialog,
    Viewport,
)
from .browser_steps import (
    BackStep,
    BrowserStep,
    CheckStep,
    ClickStep,
    CloseTabStep,
    DoubleClickStep,
    DragStep,
    ElementId,
    EvaluateStep,
    FillStep,
    ForwardStep,
    GotoStep,
    HoverStep,
    LoadState,
    NewTabStep,
    OptionalTarget,
    PressStep,
    ReloadStep,
    ScrollStep,
    SelectStep,
    SwitchTabStep,
    Target,
    TypeStep,
    UploadStep,
    Url,
    WaitForStep,
)
from .message import Message
from .plugin_actions import PluginAction
from .plugin_observations import PluginObservation

__all__ = [
    "BackStep",
    "BrowseInteractiveAction",
    "BrowseURLAction",
    "BrowserCloseAction",
    "BrowserContextObservation",
    "BrowserCredentials",
    "BrowserDownload",
    "BrowserInfo",
    "BrowserOpenAction",
    "BrowserOutputObservation",
    "BrowserPart",
    "BrowserProxy",
    "BrowserSaveAction",
    "BrowserScreenshot",
    "BrowserStep",
    "BrowserTab",
    "BrowserTimings",
    "CheckStep",
    "ClickStep",
    "CloseTabStep",
    "ConsoleMessage",
    "ContextName",
    "ContextSettings",
    "DoubleClickStep",
    "DragStep",
    "ElementId",
    "EvaluateStep",
    "FailedRequest",
    "FillStep",
    "FocusedElement",
    "ForwardStep",
    "GotoStep",
    "HoverStep",
    "LoadState",
    "NewTabStep",
    "OptionalTarget",
    "PressStep",
    "ReloadStep",
    "ScreenshotOptions",
    "ScrollStep",
    "SelectStep",
    "ShownDialog",
    "SwitchTabStep",
    "Target",
    "TypeStep",
    "UploadStep",
    "Viewport",
    "WaitForStep",
]

FilePath = Annotated[str, Field(min_length=1, max_length=4096)]
"""In the sandbox; one that is not absolute begins where sessions start."""

ContextName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$", max_length=64)]


class ScreenshotOptions(Message):
    """`quality` is of JPEG, in percent. `marks` puts numbers on what can be clicked or filled.

    A picture of no more than `inline_bytes` is in the observation too, not only in its file.
    """

    format: Literal["png", "jpeg"] = "png"
    quality: Annotated[int, Field(ge=1, le=100)] = 80
    full_page: bool = False
    marks: bool = False
    inline_bytes: Annotated[int, Field(ge=0, le=2 * 1024 * 1024)] = 64 * 1024


class BrowserOutputObservation(PluginObservation):
    """A page as it is after an action.

    `tree` is its accessibility tree as text, a line for each element: role, name, state, and its id
    as `[ref=e12]`, by which steps name it; frames and open shadow roots are in it. `text` is what
    can be seen of the page as text. Both are cut at their end past 64 KiB, named in `truncated`,
    and whole in the files at `tree_path` and `text_path`. `status` is the HTTP status of the page's
    document, None where it came without one. `loading` says that the page was not loaded as far as
    was asked for when the time was over.

    Console messages, failed requests, dialogs and downloads are those since the last observation of
    this context; of too many the first are missing, `omitted` of each part. `results` are the
    values of the `evaluate` steps. `missing` says of a part why it could not be had: a page that
    hangs has neither tree nor picture.
    """

    observation: Literal["browser.output"] = "browser.output"
    url: str
    title: str
    status: int | None = None
    loading: bool = False
    context: ContextName = "default"
    tab: int = 0
    tabs: tuple[BrowserTab, ...] = ()
    tree: str = ""
    tree_path: str | None = None
    focused: FocusedElement | None = None
    text: str = ""
    text_path: str | None = None
    truncated: tuple[BrowserPart, ...] = ()
    console: tuple[ConsoleMessage, ...] = ()
    failed_requests: tuple[FailedRequest, ...] = ()
    dialogs: tuple[ShownDialog, ...] = ()
    downloads: tuple[BrowserDownload, ...] = ()
    omitted: dict[BrowserPart, int] = Field(default_factory=dict)
    screenshot: BrowserScreenshot | None = None
    results: tuple[JsonValue, ...] = ()
    missing: dict[BrowserPart, str] = Field(default_factory=dict)
    timings: BrowserTimings | None = None
    browser: BrowserInfo


class BrowserContextObservation(PluginObservation):
    """A context, after it was opened, saved or closed.

    `storage_path` is where its cookies and storage were saved. `trace_path` and `video_path` are
    what was recorded of the context that was closed, or that gave way to this one;
    `recording_problem` says what is missing of them, and why.
    """

    observation: Literal["browser.context"] = "browser.context"
    context: ContextName
    is_open: bool
    settings: ContextSettings
    tabs: tuple[BrowserTab, ...] = ()
    storage_path: str | None = None
    trace_path: str | None = None
    video_path: str | None = None
    recording_problem: str | None = None


class BrowserOpenAction(PluginAction[BrowserContextObservation]):
    """Open a context anew → `BrowserContextObservation`. What was open by its name is closed.

    `settings` are kept for it, also past the browser's end; None takes those of the plugin's
    configuration. `storage` is a file of `BrowserSaveAction` whose cookies and storage it begins
    with.
    """

    action: Literal["browser.open"] = "browser.open"
    context: ContextName = "default"
    settings: ContextSettings | None = None
    storage: FilePath | None = None


class BrowserSaveAction(PluginAction[BrowserContextObservation]):
    """Write a context's cookies and storage to a file in the sandbox, which only its user may read
    → `BrowserContextObservation`.
    """

    action: Literal["browser.save"] = "browser.save"
    context: ContextName = "default"
    path: FilePath


class BrowserCloseAction(PluginAction[BrowserContextObservation]):
    """Close a context and forget it → `BrowserContextObservation`, with what was recorded of it."""

    action: Literal["browser.close"] = "browser.close"
    context: ContextName = "default"


class _BrowserAction(PluginAction[BrowserOutputObservation]):
    """What all actions of the browser have."""

    context: ContextName = "default"
    omit: tuple[BrowserPart, ...] = ()
    screenshot: ScreenshotOptions = Field(default_factory=ScreenshotOptions)
    accept_dialogs: bool = False
    prompt_text: str | None = None


class BrowseURLAction(_BrowserAction):
    """Load a page in the tab that is shown → `BrowserOutputObservation`.

    Its document has to come within `timeout_s`; if the rest is not there by then, the observation
    says `loading`. An address without a scheme gets `http://`.

    A `context` is a browser of its own: it has its own cookies, storage and tabs. Parts in `omit`
    are left out and cost nothing. A page's dialogs are answered at once, so that it never waits:
    dismissed, or accepted with `accept_dialogs`, a prompt with `prompt_text`.
    """

    action: Literal["browser.goto"] = "browser.goto"
    url: Url
    wait_until: LoadState = "load"
    timeout_s: Seconds = 30.0


class BrowseInteractiveAction(_BrowserAction):
    """Do some steps, one after the other, then look at the page → `BrowserOutputObservation`.

    With no steps it only looks. A step that fails is an error that says which, and those behind it
    are not begun; the page stays as it is, and can be looked at. `step_timeout_s` is for each.
    `context`, `omit` and the dialogs as in `BrowseURLAction`.
    """

    action: Literal["browser.interact"] = "browser.interact"
    steps: Annotated[tuple[BrowserStep, ...], Field(max_length=1000)] = ()
    step_timeout_s: Seconds = 10.0
