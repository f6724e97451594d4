"""Which observation answers which action, where it does not fail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from . import actions as a
from . import exec_actions as x
from . import exec_observations as xo
from . import observations as o
from . import tree_actions as t
from .errors import UnexpectedFrame
from .port_actions import PortForwardAction, PortReverseAction
from .port_observations import PortReadyObservation

ANSWERS: Final[Mapping[type[a.Action], type[o.Observation]]] = {
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
}


def check_answer(action: a.Action, observation: o.Observation) -> o.Observation:
    """The observation, if it is one that answers the action. Raises UnexpectedFrame.

    The sandbox says what comes back, and is hostile; who asks for a file is to get a file.
    """
    expected = ANSWERS.get(type(action))
    if expected is None or isinstance(observation, expected):
        return observation
    raise UnexpectedFrame(
        f"what came back for {type(action).__name__} is a {type(observation).__name__}",
        hint="Do not trust this sandbox, unless the id was that of another action",
    )
