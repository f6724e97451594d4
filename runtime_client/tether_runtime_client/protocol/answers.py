"""Which observation answers which action, where it does not fail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from . import actions as a
from . import exec_actions as x
from . import exec_observations as xo
from . import observations as o
from . import tree_actions as t
from .errors import UnexpectedFrame
from .opaque import answer_of, opaque_observation, typed_observation
from .plugin_actions import ListPluginsAction, OpaqueAction, PluginAction, PluginStopAction
from .plugin_observations import (
    ListPluginsObservation,
    OpaqueObservation,
    PluginObservation,
)
from .port_actions import PortForwardAction, PortReverseAction
from .port_observations import PortReadyObservation

ANSWERS: Final[Mapping[type[a.Action], type[o.Observation] | tuple[type[o.Observation], ...]]] = {
    a.CmdRunAction: o.CmdOutputObservation,
    a.CmdInputAction: o.CmdOutputObservation,
    a.CmdInterruptAction: o.CmdOutputObservation,
    a.CmdPollAction: o.CmdOutputObservation,
    a.SessionResetAction: o.SessionResetObservation,
    a.SessionResizeAction: o.DoneObservation,
    a.ScreenReadAction: o.ScreenObservation,
    a.ListProcessesAction: o.ListProcessesObservation,
    a.ProcessSignalAction: o.DoneObservation,
    a.SetEnvAction: o.DoneObservation,
    x.ExecAction: xo.ExecObservation,
    x.ExecStartAction: xo.ExecObservation,
    x.ExecAttachAction: xo.ExecAttachedObservation,
    x.ExecSignalAction: o.DoneObservation,
    x.ListExecsAction: xo.ListExecsObservation,
    a.FileReadAction: o.FileReadObservation,
    a.FileWriteAction: o.FileWriteObservation,
    a.FileEditAction: o.FileEditObservation,
    a.ListFilesAction: o.ListFilesObservation,
    t.FileStatAction: o.FileStatObservation,
    t.FindFilesAction: o.FindFilesObservation,
    t.GrepAction: o.GrepObservation,
    t.DiskUsageAction: o.DiskUsageObservation,
    t.FileWatchAction: o.FileWatchObservation,
    t.CancelAction: o.DoneObservation,
    a.UploadAction: o.TransferObservation,
    a.DownloadAction: o.TransferObservation,
    PortForwardAction: PortReadyObservation,
    PortReverseAction: PortReadyObservation,
    ListPluginsAction: ListPluginsObservation,
    PluginStopAction: o.DoneObservation,
    OpaqueAction: (OpaqueObservation, PluginObservation),
}


def check_answer(action: a.Action, observation: o.Observation) -> o.Observation:
    """The observation, if it is one that answers the action. Raises UnexpectedFrame.

    The sandbox says what comes back, and is hostile; who asks for a file is to get a file.
    """
    expected = ANSWERS.get(type(action))
    if expected is None:
        return (
            _plugins_answer(action, observation)
            if isinstance(action, PluginAction)
            else observation
        )
    if isinstance(observation, expected):
        return observation
    raise _unexpected(action, f"a {type(observation).__name__}")


def _plugins_answer(action: PluginAction[Any], observation: o.Observation) -> o.Observation:
    """As the class that the action's own names in its brackets, if it does."""
    expected = answer_of(type(action))
    if expected is None and isinstance(observation, PluginObservation | OpaqueObservation):
        return observation
    if expected is not None and isinstance(observation, expected):
        return observation
    if isinstance(observation, PluginObservation):  # of another version of that class
        observation = opaque_observation(observation)
    if expected is None or not isinstance(observation, OpaqueObservation):
        raise _unexpected(action, f"a {type(observation).__name__}")
    try:
        return typed_observation(observation, expected)
    except ValueError as problem:
        what = f"no {expected.__name__} ({problem})"
        hint = "Has the sandbox another version of the plugin? `tether plugins NAME` tells"
        raise _unexpected(action, what, hint) from None


def _unexpected(action: a.Action, what: str, hint: str = "") -> UnexpectedFrame:
    return UnexpectedFrame(
        f"what came back for {type(action).__name__} is {what}",
        hint=hint or "Do not trust this sandbox, unless the id was that of another action",
    )
