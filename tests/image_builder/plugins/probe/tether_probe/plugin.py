"""The plugin's class."""

import subprocess

import zmq

from tether_runtime_client.plugin import ActionContext, Plugin, handles
from tether_runtime_client.plugin.base import NoConfig

from .messages import Answer, Ask


class Probe(Plugin[NoConfig]):
    """Looks whether all that its declaration asks for is there, and runs."""

    @handles(Ask)
    async def ask(self, action: Ask, context: ActionContext) -> Answer:
        """Runs the program that its set-up copied."""
        assert self.places.prefix is not None
        done = subprocess.run([self.places.prefix / "bin/hello"], capture_output=True, text=True)
        return Answer(zmq=zmq.zmq_version(), said=done.stdout)
