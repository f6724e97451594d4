"""What it is asked, and what it answers."""

from typing import Literal

from tether_runtime_client.plugin import PluginAction, PluginObservation


class Answer(PluginObservation):
    """What it found."""

    observation: Literal["probe.answer"] = "probe.answer"
    zmq: str
    said: str


class Ask(PluginAction[Answer]):
    """Look."""

    action: Literal["probe.ask"] = "probe.ask"
