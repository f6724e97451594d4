"""One process that plays many sandboxes: each has a client's own protocol, journal and socket.

Everything is the client's but the handlers: an action ends as soon as it has begun. A thousand
whole clients would take 44 GB. Run as `python -m benchmarks.many_clients FOLDER COUNT`; the secret
of all of them comes on standard input, and `ready` goes to standard output.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tether_runtime_client.control import Control
from tether_runtime_client.dispatcher import Context, Dispatcher
from tether_runtime_client.endpoint import Endpoint
from tether_runtime_client.event_connection import EventConnection
from tether_runtime_client.journal import Journal
from tether_runtime_client.kept_secret import KeptSecret, keep_secret
from tether_runtime_client.protocol.actions import CmdRunAction
from tether_runtime_client.protocol.events import ClientStarted
from tether_runtime_client.protocol.observations import CmdOutputObservation
from tether_runtime_client.recorder import Recorder
from tether_runtime_client.tickets import Tickets


class OneClient:
    """A client without a shell, listening at `folder/client.sock`."""

    def __init__(self, folder: Path, secret: KeptSecret) -> None:
        self._path = folder / "client.sock"
        self._recorder = Recorder(folder / "journal")
        self._dispatcher = Dispatcher(self._recorder)
        self._dispatcher.register(CmdRunAction, _run)
        self._control = Control(None, lambda: None)
        self._secret = secret
        self._endpoint = Endpoint(self._connection, Tickets())

    async def start(self) -> None:
        """Listen."""
        self._recorder.start(ClientStarted(version="0", pid=os.getpid(), shell="", shell_reason=""))
        await self._endpoint.listen_unix(self._path)
        self._control.start()

    def _connection(self) -> EventConnection:
        return EventConnection(self._secret, self._recorder, self._dispatcher, self._control)


async def _run(action: CmdRunAction, context: Context) -> CmdOutputObservation:
    return CmdOutputObservation(content="", status="completed", exit_code=0, cwd="/")


async def main(folder: Path, count: int) -> None:
    """Serve until standard input ends."""
    Journal._make_reserve = lambda _: True  # type: ignore[method-assign]  # it would take 4 GB
    secret = sys.stdin.buffer.readline()
    clients = []
    for number in range(count):
        own = folder / str(number)
        own.mkdir()
        clients.append(OneClient(own, KeptSecret(keep_secret(secret))))
        await clients[-1].start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.buffer.read)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
