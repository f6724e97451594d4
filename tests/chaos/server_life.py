"""One life of a chaos run's server, in a process of its own that may be killed at any moment.

It starts the sandbox, or attaches to it by name, does the workload under ids that are the same in
every life, and tells the run what came of it over a pipe.
"""

from __future__ import annotations

import asyncio
import logging
import mmap
import os
import struct
import time
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tether_runtime_client.protocol.errors import (
    Fenced,
    StateUnusable,
    TetherError,
    TransferError,
)
from tether_runtime_client.protocol.events import BackgroundOutput, ClientStarted, CmdOutputDelta
from tether_runtime_client.protocol.observations import (
    CmdOutputObservation,
    ExecObservation,
    Observation,
)
from tether_server import CmdRunAction, EventStreamRuntime, link
from tether_server.backends import container, local
from tether_server.transports import TcpTransport, Transport

from .workload import LANES, Step, filler

LIFE_LIMIT_S = 100.0
"""A server whose run has gone does not stay."""

SESSIONS = (*LANES, "late")
REFUSED_RETRY_S = 0.05


@dataclass(frozen=True)
class Life:
    """What a server has to know. `image` is None for a sandbox on this machine."""

    name: str
    folder: Path
    port: int
    image: str | None
    steps: tuple[Step, ...]
    first: bool
    takeover: bool = False

    @property
    def environment(self) -> dict[str, str]:
        """Of the process; the sandbox on this machine inherits it."""
        hook = Path(__file__).parent / "clock_hook"
        return {
            "TETHER_STATE_DIR": str(self.folder / "state"),
            "TETHER_CHAOS_CLOCK": str(self.folder / "sandbox.clock"),
            "TETHER_CHAOS_RUN": self.name,
            "TMPDIR": str(self.folder / "tmp"),
            "PYTHONPATH": os.pathsep.join(filter(None, (str(hook), os.environ.get("PYTHONPATH")))),
            "HOME": str(self.folder / "home"),
        }


def live(life: Life, pipe: Connection) -> None:
    """The process's main function."""
    os.environ.update(life.environment)
    _skew_clock(life.folder / "server.clock")
    _go_through_proxy(life.port)
    # What is given up after seconds for real is given up sooner here, or a run would take minutes.
    # A client takes 2 s to find that the controller it has is silent.
    link.ATTACH_TIMEOUT_S = 3.0
    link.PING_EVERY_S = 0.5
    asyncio.run(asyncio.wait_for(_Server(life, pipe).run(), LIFE_LIMIT_S))


def _skew_clock(path: Path) -> None:
    with path.open("rb") as file:
        shared = mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ)
    real = time.time
    time.time = lambda: real() + float(struct.unpack_from("d", shared)[0])


def _go_through_proxy(port: int) -> None:
    """In this process every way to a client is the proxy."""

    async def address() -> tuple[str, int]:
        return "127.0.0.1", port

    def transports(_: object) -> tuple[Transport, ...]:
        return (TcpTransport(address),)

    local.LocalSandbox.transports = transports  # type: ignore[method-assign]
    container.ContainerSandbox.transports = transports  # type: ignore[method-assign]


def open_descriptors(process: int | str = "self") -> list[str]:
    """What a process has open, by kind: the numbers in the names are others every time."""
    found = []
    for number in os.listdir(f"/proc/{process}/fd"):
        try:
            path = Path(os.readlink(f"/proc/{process}/fd/{number}"))
        except FileNotFoundError:
            continue  # the listing's own
        if path.name.endswith(".part") or path.parent.name == "box":
            continue  # a transfer whose server was killed may be resumed for a while
        is_one_of_many = path.parent.name in ("journal", "pts")
        found.append(path.parent.name if is_one_of_many else path.name.split(":[")[0])
    return sorted(found)


@dataclass
class _Told:
    """What a subscriber was told, in the order it came."""

    seqs: list[int] = field(default_factory=list)
    late: str = ""
    news: asyncio.Event = field(default_factory=asyncio.Event)


class _Teller(logging.Handler):
    """Tells the run what the server logs: there it says that the history cannot be written."""

    def __init__(self, pipe: Connection) -> None:
        super().__init__(logging.ERROR)
        self._pipe = pipe

    def emit(self, record: logging.LogRecord) -> None:
        """Called in the thread that logs."""
        self._pipe.send(("logged", record.getMessage()))


class _Server:
    """What the process does."""

    def __init__(self, life: Life, pipe: Connection) -> None:
        self._life = life
        self._pipe = pipe
        self._told = _Told()
        self._orders: asyncio.Queue[str] = asyncio.Queue()

    async def run(self) -> None:
        logging.getLogger("tether_server").addHandler(_Teller(self._pipe))
        loop = asyncio.get_running_loop()
        loop.add_reader(self._pipe.fileno(), self._hear)
        await asyncio.sleep(0)
        before = open_descriptors()
        try:
            async with self._runtime() as runtime:
                await self._live(runtime)
                await runtime.close(keep=False)
            self._pipe.send(("closed", before, open_descriptors(), self._told.seqs))
        except* Fenced as fenced:
            self._pipe.send(("fenced", str(fenced.exceptions[0])))

    def _hear(self) -> None:
        self._orders.put_nowait(self._pipe.recv())

    def _runtime(self) -> EventStreamRuntime:
        life = self._life
        if not life.first:
            return EventStreamRuntime.attach(life.name, takeover=life.takeover, transport="auto")
        box = life.folder / "box"
        if life.image is None:
            env = {"BOX": str(box)}
            return EventStreamRuntime(None, backend="local", name=life.name, env=env, keep=True)
        return EventStreamRuntime(
            life.image, name=life.name, env={"BOX": "/box"}, mounts=[f"{box}:/box"], keep=True
        )

    async def _live(self, runtime: EventStreamRuntime) -> None:
        listening = asyncio.create_task(self._listen(runtime))
        try:
            if self._life.first:
                await self._warm(runtime, "warm")
            self._pipe.send(("up", os.getpid()))
            await self._do_all(runtime)
            await self._until_late(runtime)
            await self._warm(runtime, "quiet")
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _listen(self, runtime: EventStreamRuntime) -> None:
        """A reader of the whole stream, from its first event."""
        told = self._told
        async with aclosing(runtime.events.subscribe(0)) as events:  # type: ignore[type-var]
            async for event in events:
                told.seqs.append(event.seq)
                if isinstance(event, ClientStarted):
                    self._pipe.send(("client", event.seq, event.pid))
                is_output = isinstance(event, BackgroundOutput | CmdOutputDelta)
                if is_output and event.session == "late":
                    told.late += event.content
                    told.news.set()

    async def _warm(self, runtime: EventStreamRuntime, word: str) -> None:
        """Every session has a shell, so that what is open can be compared."""
        for session in SESSIONS:
            action = CmdRunAction(command="true", session=session)
            await self._patiently(lambda action=action: runtime.run(action))  # type: ignore[misc]
        self._pipe.send((word,))
        await self._orders.get()

    async def _do_all(self, runtime: EventStreamRuntime) -> None:
        """The workload, then more of it until every fault has struck, and a step after the last."""
        lanes = [[s for s in self._life.steps if s.session == name] for name in SESSIONS]
        async with asyncio.TaskGroup() as group:
            for lane in lanes:
                group.create_task(self._do_lane(runtime, lane))
        number = 0
        while True:
            self._pipe.send(("idle",))
            order = await self._orders.get()
            await self._do(runtime, filler(self._life.name, number))
            number += 1
            if order == "finish":
                return

    async def _do_lane(self, runtime: EventStreamRuntime, lane: list[Step]) -> None:
        for step in lane:
            await self._do(runtime, step)

    async def _do(self, runtime: EventStreamRuntime, step: Step) -> None:
        match step.kind:
            case "spawn":
                answer = await self._answer(lambda: self._spawn(runtime, step))
            case "upload" | "download":
                answer = await self._answer(lambda: self._transfer(runtime, step))
            case _:
                answer = await self._answer(lambda: self._run(runtime, step))
        self._pipe.send(("answer", step.id, answer))

    async def _run(self, runtime: EventStreamRuntime, step: Step) -> dict[str, Any]:
        return _plain(await self._patiently(lambda: runtime.run(step.action, id=step.id)))

    async def _spawn(self, runtime: EventStreamRuntime, step: Step) -> dict[str, Any]:
        command = f"{step.entry} {step.script} exit 7"
        process = await self._patiently(lambda: runtime.spawn(command, id=step.id, detach=True))
        output = await process.stdout.read()
        return {"output": output, "exit_code": await process.wait()}

    async def _transfer(self, runtime: EventStreamRuntime, step: Step) -> dict[str, Any]:
        """Again until it is whole; one that fails leaves nothing half there, which is looked at."""
        box = self._life.folder / "box"
        inside = "/box" if self._life.image else str(box)
        failures: list[str] = []
        while True:
            try:
                if step.kind == "upload":
                    taken = box / step.id
                    await runtime.upload(self._life.folder / step.id, f"{inside}/{step.id}")
                else:
                    taken = self._life.folder / step.id
                    await runtime.download(f"{inside}/{step.id}", taken)
            except StateUnusable as problem:
                self._pipe.send(("refused", str(problem)))
                await asyncio.sleep(REFUSED_RETRY_S)
                continue
            except TransferError as failure:
                failures.append(str(failure))
                continue
            return {"whole": taken.read_bytes() == step.content, "failures": failures}

    async def _answer(self, do: Callable[[], Coroutine[Any, Any, dict[str, Any]]]) -> Any:
        """What it came to, an error as its code."""
        try:
            return await do()
        except Fenced:
            raise
        except TetherError as error:
            return {"error": error.code, "message": error.message, "data": error.data}

    async def _patiently(self, call: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Again while the disk has no room for the action: it was not sent then."""
        while True:
            try:
                return await call()
            except StateUnusable as problem:
                self._pipe.send(("refused", str(problem)))
                await asyncio.sleep(REFUSED_RETRY_S)

    async def _until_late(self, runtime: EventStreamRuntime) -> None:
        """What comes late comes in a tenth of a second, unless its client died before."""
        wanted = [step.late for step in self._life.steps if step.kind == "late"]
        try:
            async with asyncio.timeout(3):
                while not all(word in self._told.late for word in wanted):
                    self._told.news.clear()
                    await self._told.news.wait()
        except TimeoutError:
            self._pipe.send(("nothing late",))


def _plain(observation: Observation) -> dict[str, Any]:
    match observation:
        case CmdOutputObservation():
            output = observation.content.encode()
            return {"output": output, "exit_code": observation.exit_code}
        case ExecObservation():
            streams = {"output": observation.stdout, "stderr": observation.stderr}
            return {**streams, "exit_code": observation.exit_code}
    raise AssertionError(observation)
