"""What the plugins of the corpus handle and tell: one kind of each, by whatever name they have."""

from __future__ import annotations

from typing import Literal

from tether_runtime_client.plugin import Message, PluginAction, PluginEvent, PluginObservation


class DoneObservation(PluginObservation):
    """What came of it."""

    observation: Literal["bad.done"] = "bad.done"
    text: str = ""


class DoAction(PluginAction[DoneObservation]):
    """Do what this is called."""

    action: Literal["bad.do"] = "bad.do"
    what: str
    how: str = ""


class Told(PluginEvent):
    """An event."""

    event: Literal["bad.told"] = "bad.told"
    number: int = 0
    text: str = ""


class Config(Message):
    """What is to go wrong outside of actions."""

    start: str = ""
    stop: str = ""
    health: str = ""
