"""A plugin that does as it should: what goes on while others do not."""

from __future__ import annotations

import asyncio
from typing import Literal

from tether_runtime_client.plugin import (
    ActionContext,
    ActionError,
    NoConfig,
    Plugin,
    PluginAction,
    PluginEvent,
    PluginObservation,
    handles,
)


class Said(PluginObservation):
    """What was asked for."""

    observation: Literal["good.said"] = "good.said"
    text: str


class SayAction(PluginAction[Said]):
    """Say this."""

    action: Literal["good.say"] = "good.say"
    text: str = "hello"
    pause_s: float = 0.0


class Saying(PluginEvent):
    """It is about to."""

    event: Literal["good.saying"] = "good.saying"
    text: str


class Good(Plugin[NoConfig]):
    """Says what it is asked to say, about sessions too."""

    @handles(SayAction)
    async def say(self, action: SayAction, context: ActionContext) -> Said:
        """One word is for one thing."""
        context.emit(Saying(text=action.text))
        await asyncio.sleep(action.pause_s)
        match action.text.partition(" ")[::2]:
            case "folder", session:
                return Said(text=str(await context.session_folder(session)))
            case "variable", name:
                return Said(text=(await context.session_environment()).get(name, "(unset)"))
            case "refuse", why:
                raise ActionError(why, hint="ask for something else", why=why)
            case "places", _:
                places = self.places
                return Said(text=f"{places.prefix} {places.state} {places.workdir}")
        return Said(text=action.text)
