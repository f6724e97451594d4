"""Names of the built-in plugins, which are imported when they are asked for: the client needs none.

`protocol` has them as if they were its own.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

NAMES = {
    "browser": (
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
    ),
    "jupyter": (
        "CellOutput",
        "CellStatus",
        "DisplayData",
        "DisplayOutput",
        "DisplayUpdate",
        "ErrorOutput",
        "InputPrompt",
        "IPythonCompleteAction",
        "IPythonCompleteObservation",
        "IPythonDisplayUpdated",
        "IPythonInputAction",
        "IPythonInspectAction",
        "IPythonInspectObservation",
        "IPythonInterruptAction",
        "IPythonInterruptObservation",
        "IPythonKernelEnded",
        "IPythonKernelObservation",
        "IPythonKernelStarted",
        "IPythonListKernelsAction",
        "IPythonListKernelsObservation",
        "IPythonOutputCleared",
        "IPythonOutputOmitted",
        "IPythonOutputShown",
        "IPythonRestartAction",
        "IPythonRunCellAction",
        "IPythonRunCellObservation",
        "IPythonShutdownAction",
        "IPythonStreamDelta",
        "IPythonWaitingForInput",
        "KernelEnd",
        "KernelEndCause",
        "KernelInfo",
        "KernelName",
        "KernelState",
        "MimeBundle",
        "OmittedPart",
        "PythonInfo",
        "ResultOutput",
        "StreamOutput",
    ),
    "skills": (
        "AddSkillsAction",
        "ListSkillsAction",
        "Skill",
        "SkillsObservation",
    ),
}
"""By module."""

ALL = [name for names in NAMES.values() for name in names]


def find(name: str) -> Any:
    """What a module calls that; raises `AttributeError` where none does."""
    for module, names in NAMES.items():
        if name in names:
            return getattr(import_module(f".{module}", __package__), name)
    raise AttributeError(f"module {__package__!r} has no attribute {name!r}")
