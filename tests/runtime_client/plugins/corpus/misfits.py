"""Classes that do not go with what is declared."""

from __future__ import annotations

from typing import Literal

from tether_runtime_client.plugin import (
    ActionContext,
    NoConfig,
    Plugin,
    PluginAction,
    PluginObservation,
    handles,
)

from .messages import DoAction, DoneObservation


class OtherAction(PluginAction[DoneObservation]):
    """It is declared nowhere."""

    action: Literal["bad.other"] = "bad.other"


class Stolen(PluginObservation):
    """Another plugin's."""

    observation: Literal["good.said"] = "good.said"


class NoPlugin:
    """It is derived from nothing."""


class Handless(Plugin[NoConfig]):
    """It handles nothing."""


class Twice(Plugin[NoConfig]):
    """It handles one action in two ways."""

    @handles(DoAction)
    async def first(self, action: DoAction, context: ActionContext) -> DoneObservation:
        """One way."""
        return DoneObservation()

    @handles(DoAction)
    async def second(self, action: DoAction, context: ActionContext) -> DoneObservation:
        """The other."""
        return DoneObservation()


class Secret(Plugin[NoConfig]):
    """It handles what it does not declare."""

    @handles(DoAction)
    async def do(self, action: DoAction, context: ActionContext) -> DoneObservation:
        """Declared."""
        return DoneObservation()

    @handles(OtherAction)
    async def other(self, action: OtherAction, context: ActionContext) -> DoneObservation:
        """Not declared."""
        return DoneObservation()
