"""Variables set for the whole sandbox, while it runs."""

from __future__ import annotations

from ..dispatcher import Context, Tell
from ..environment import Environment
from ..protocol.actions import SetEnvAction
from ..protocol.observations import DoneObservation
from .shell import Sessions


class Variables:
    """Handles `SetEnvAction`."""

    def __init__(self, environment: Environment, sessions: Sessions) -> None:
        self._environment = environment
        self._sessions = sessions

    async def handle(self, action: SetEnvAction, _: Context) -> DoneObservation:
        """Set them for what starts from now on, and for the sessions' next commands."""
        return self._set(action)

    def begin(self, action: SetEnvAction, _: Context, tell: Tell) -> bool:
        """The same at once: an action that was submitted later finds them set."""
        tell(self._set(action))
        return True

    def _set(self, action: SetEnvAction) -> DoneObservation:
        self._environment.set(action.env)
        self._sessions.set_env(action.env)
        return DoneObservation()
