"""How fast a client tells again what nobody has acknowledged, and a server stores it."""

from __future__ import annotations

import tempfile
from contextlib import AsyncExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

from tether_runtime_client.protocol.frames import StoredEvent
from tether_server import CmdRunAction, EventStreamRuntime, SandboxStarted
from tether_server.event_stream import EventStream
from tether_server.history import History
from tether_server.link import Link
from tether_server.record import load_record
from tether_server.submissions import Submissions
from tether_server.transports import Transport, UnixTransport

from .plan import Plan
from .report import Report, rate_row
from .turns import take_turns

READ = "read and checked"
STORED = "read, checked and stored in a history"
_TRUE = CmdRunAction(command="true")
_STARTED = SandboxStarted(name="replay", backend="local")


async def measure(plan: Plan) -> Report:
    """Events a second, over the UNIX socket of a local client, into a server that has none."""
    count = plan.count(10_000, 50)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        runtime = await stack.enter_async_context(EventStreamRuntime(None, backend="local"))
        plan.tell(f"making {2 * count:,} events that are not acknowledged")
        _acknowledge_nothing(runtime)
        for _ in range(count):
            await runtime.run(_TRUE)
        again = _Again(runtime, folder)
        events = await again.read()
        steps = {READ: again.read, STORED: partial(again.store)}
        samples = await take_turns(steps, rounds=plan.count(15, 2))
    rows = (
        rate_row(READ, samples[READ], events, unit="/s"),
        rate_row(STORED, samples[STORED], events, unit="/s", floor=samples[READ]),
    )
    return Report("replay", f"{events:,} events, again", rows, floor="read and checked", bars=False)


def _acknowledge_nothing(runtime: EventStreamRuntime) -> None:
    """A history that cannot be written would do the same; this one is quick about it."""
    assert runtime._link is not None
    runtime._link.acknowledge = _ignore  # type: ignore[method-assign]


def _ignore(epoch: str, seq: int) -> None:
    """In the place of `Link.acknowledge`."""


class _Again:
    """Attaches as an operator does, which may ask for everything and disturbs nobody."""

    def __init__(self, runtime: EventStreamRuntime, folder: Path) -> None:
        record = load_record(runtime.name)
        path = Path(record.handle["folder"]) / "socket" / "client.sock"
        self._transport: Transport = UnixTransport(path)
        self._secret = record.secret
        self._folder = folder
        self._stores = 0

    async def read(self) -> int:
        """Take all there is and keep none; returns how many events that were."""
        reader = _Reader()
        await self._attach(reader)
        return reader.count

    async def store(self) -> None:
        """The same into a history of its own, committed."""
        self._stores += 1
        path = self._folder / str(self._stores) / "history.sqlite3"
        with closing(History(path)) as history:
            submissions = Submissions(history, EventStream(history))
            await self._attach(submissions, submissions)
            history.commit()

    async def _attach(self, user: Any, submissions: Submissions | None = None) -> None:
        link = _Operator(self._transport, lambda: self._secret, user, _lives, role="operator")
        if submissions is not None:
            submissions.bind(link, "", _STARTED)
        await link.start()
        await link.close()


class _Operator(Link):
    acknowledge = staticmethod(_ignore)  # type: ignore[assignment]


class _Reader:
    """A `LinkUser` that counts."""

    def __init__(self) -> None:
        self.count = 0

    def progress(self) -> dict[str, int]:
        """It has nothing."""
        return {}

    def newest(self) -> StoredEvent | None:
        """Nor a last one."""
        return None

    def on_frame(self, frame: object, raw: bytes) -> None:
        """One more."""
        self.count += 1

    def __getattr__(self, name: str) -> Any:
        """Whatever else a link tells is of no interest."""
        return lambda *_: None


async def _lives() -> None:
    """The sandbox has not ended."""
