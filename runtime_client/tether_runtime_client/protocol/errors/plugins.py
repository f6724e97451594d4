"""What goes wrong with plugins."""

from __future__ import annotations

from .action import ActionError
from .sandbox import SandboxError


class PluginError(ActionError):
    """A plugin's handler failed in a way that it did not foresee: a defect of the plugin."""

    code = "plugin_error"
    default_hint = (
        'A bug in the plugin; the sandbox\'s file at data["output_path"] has its traceback'
    )


class PluginMissing(PluginError):
    """This sandbox has no plugin for the action."""

    code = "plugin_missing"
    default_hint = (
        "Build it in: plugins=[...] of the runtime, or runtime-build IMAGE --plugins NAME"
    )


class PluginNotStarted(PluginError):
    """The plugin's process did not come up; `message` says why, and the action was not begun."""

    code = "plugin_not_started"
    default_hint = (
        'data["output"] has the last that it printed, with its traceback, and the file at'
        ' data["output_path"] more; the next action tries again'
    )


class PluginLost(PluginError):
    """The plugin's process ended while the action ran. It was not run again."""

    code = "plugin_lost"
    default_hint = "Look at what it left behind; the next action starts the plugin anew"


class PluginInvalid(SandboxError):
    """A plugin's declaration, package, version or configuration cannot be used."""

    code = "plugin_invalid"
    default_hint = "docs/plugin-declaration.md has what a plugin declares, field by field"
