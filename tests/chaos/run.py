"""One chaos run: a plan carried out, with everything that it made and saw kept for the checks."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from ..behaviours.footprint import pid_on_this_machine
from ..runtime_client.full_disk import small_disk
from .faults import DiskFull
from .plan import Plan
from .proxy import Proxy
from .server_life import Life, live, open_descriptors

DISK_MB = 40
"""Room for the journal's reserve and a history, and little more."""

ROOT = Path(__file__).parents[2]


class ServerDied(AssertionError):
    """A server ended though nobody had told it to."""


class _Server:
    """One life of a server: its process, and what it tells."""

    def __init__(self, process: BaseProcess, pipe: Connection) -> None:
        self.process = process
        self.pipe = pipe
        self.heard: list[tuple[Any, ...]] = []

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def told(self, word: str) -> tuple[Any, ...] | None:
        """The last message of that kind."""
        return next((message for message in reversed(self.heard) if message[0] == word), None)


class Run:
    """Used by faults while it goes on, and by the checks afterwards."""

    def __init__(self, plan: Plan, folder: Path, image: str | None) -> None:
        self.plan = plan
        self.folder = folder
        self.name = f"chaos-{plan.seed}-{os.getpid()}"
        self.proxy = Proxy(self._connect)
        self.servers: list[_Server] = []
        self.struck: list[str] = []
        self.jumps: dict[str, float] = {}
        self.failed_writes = 0
        self.warm_descriptors: list[str] | None = None
        self.quiet_descriptors: list[str] = []
        self._image = image
        self._clients: dict[int, int] = {}
        self._pending = len(plan.faults)
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._expected_to_end: set[int] = set()
        self._closed = asyncio.Event()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def carry_out(self) -> None:
        """From the first server's start to the last one's end. Raises what went wrong."""
        faults = asyncio.create_task(self._go_on())
        try:
            await asyncio.wait({faults, self._failed}, return_when=asyncio.FIRST_COMPLETED)
            if self._failed.done():
                self._failed.result()
            await faults
        finally:
            faults.cancel()
            await asyncio.gather(faults, return_exceptions=True)
            await self._end_servers()

    async def _go_on(self) -> None:
        await self.start_server(first=True)
        for fault in self.plan.faults:
            await self.proxy.stop_after(fault.after)
            self.struck.append(f"{fault}: {await fault.strike(self)}")
            self._pending -= 1
        await self._closed.wait()

    # --- what checks use

    @property
    def answered(self) -> set[str]:
        """The ids of everything that an end was told of."""
        heard = [message for server in self.servers for message in server.heard]
        return {message[1] for message in heard if message[0] == "answer"}

    def answers(self, id: str) -> list[dict[str, Any]]:
        """What each life of the server was told of an action's end."""
        heard = [message for server in self.servers for message in server.heard]
        return [message[2] for message in heard if message[:2] == ("answer", id)]

    # --- what faults use

    @property
    def sandbox_folder(self) -> Path:
        """Where the server keeps what it knows of the sandbox."""
        return self.folder / "state" / "sandboxes" / self.name

    @property
    def server_pid(self) -> int:
        """Of the server that controls the sandbox."""
        return self.servers[-1].pid

    @property
    def client_lives(self) -> int:
        """How many starts of clients have been told of."""
        return len(self._clients)

    async def client_pid(self) -> int:
        """Of the client, on this machine."""
        inside = self._clients[max(self._clients)]
        if self.plan.place == "local":
            return inside
        return await asyncio.to_thread(pid_on_this_machine, self.name, inside)

    async def progress(self, count: int) -> None:
        """Return when so many more bytes have passed."""
        wanted = self.proxy.passed + count
        while self.proxy.passed < wanted:
            await asyncio.sleep(0.005)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return when something that servers tell of holds."""
        async with self._changed:
            await self._changed.wait_for(holds)

    async def start_server(self, *, first: bool, takeover: bool = False) -> None:
        """Another life of the server; returns when it is up."""
        context = multiprocessing.get_context("forkserver")
        ours, theirs = context.Pipe()
        life = Life(
            self.name, self.folder, self.proxy.port, self._image, self.plan.steps, first, takeover
        )
        process = context.Process(target=live, args=(life, theirs), daemon=True)
        process.start()
        theirs.close()
        server = _Server(process, ours)
        self.servers.append(server)
        asyncio.get_running_loop().add_reader(ours.fileno(), self._hear, server)
        await self.until(lambda: server.told("up") is not None)

    async def kill_server(self) -> int | None:
        """End it by SIGKILL; returns its exit code."""
        server = self.servers[-1]
        self._expected_to_end.add(server.pid)
        server.process.kill()
        await asyncio.to_thread(server.process.join)
        return server.process.exitcode

    async def replace_server(self) -> str:
        """A second server takes over; returns what the first one was told."""
        former = self.servers[-1]
        self._expected_to_end.add(former.pid)
        await self.start_server(first=False, takeover=True)
        await self.until(lambda: former.told("fenced") is not None)
        return str((former.told("fenced") or ("", ""))[1])

    async def container(self, verb: str) -> str:
        """Have the engine do something with the container; returns the status it then has."""
        options = ["--time=5"] if verb == "restart" else []
        await _docker(verb, *options, self._handle("container"))
        return await _docker("inspect", "--format={{.State.Status}}", self._handle("container"))

    # --- inside

    def _handle(self, key: str) -> str:
        record = json.loads((self.sandbox_folder / "sandbox.json").read_bytes())
        return str(record["handle"][key])

    async def _connect(self) -> socket.socket:
        """To the client's own socket."""
        path = self.sandbox_folder / "socket" / "client.sock"
        descriptor = os.open(path, os.O_PATH)
        connection = socket.socket(socket.AF_UNIX)
        connection.setblocking(False)
        try:
            connection.connect(f"/proc/self/fd/{descriptor}")
        except BaseException:
            connection.close()
            raise
        finally:
            os.close(descriptor)
        return connection

    def _hear(self, server: _Server) -> None:
        try:
            message = server.pipe.recv()
        except (EOFError, OSError):
            asyncio.get_running_loop().remove_reader(server.pipe.fileno())
            server.pipe.close()
            self._ended(server)
            return
        server.heard.append(message)
        match message:
            case ("client", seq, pid):
                self._clients[seq] = pid
            case ("logged", text) if "history cannot be written" in text:
                self.failed_writes += 1
            case ("refused", _):
                self.failed_writes += 1
            case ("idle",):
                server.pipe.send("more" if self._pending else "finish")
            case ("warm",):
                self._start(self._look_and_tell(server, "warm_descriptors"))
            case ("quiet",):
                self._start(self._look_and_tell(server, "quiet_descriptors"))
            case ("closed", *_):
                self._expected_to_end.add(server.pid)
                self._closed.set()
        self._start(self._notify())

    def _ended(self, server: _Server) -> None:
        if server.pid not in self._expected_to_end and not self._failed.done():
            last = server.heard[-1:]
            self._failed.set_exception(ServerDied(f"server {server.pid} ended by itself: {last}"))

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look_and_tell(self, server: _Server, name: str) -> None:
        await self._look(name)
        server.pipe.send("go on")

    async def _look(self, name: str) -> None:
        """What the client has open; what a bulk connection's end leaves goes within moments."""
        if self.plan.place != "local" or os.geteuid() != 0:
            return
        limit = asyncio.get_running_loop().time() + 3
        while True:
            found = await asyncio.to_thread(open_descriptors, await self.client_pid())
            setattr(self, name, found)
            is_over = asyncio.get_running_loop().time() > limit
            if name == "warm_descriptors" or found == self.warm_descriptors or is_over:
                return
            await asyncio.sleep(0.02)

    async def _end_servers(self) -> None:
        for server in self.servers:
            self._expected_to_end.add(server.pid)
            if self._closed.is_set():
                await asyncio.to_thread(server.process.join, 10)
            server.process.kill()
            await asyncio.to_thread(server.process.join)
            if not server.pipe.closed:
                asyncio.get_running_loop().remove_reader(server.pipe.fileno())
                server.pipe.close()
            server.process.close()


async def _docker(*words: str) -> str:
    command = ["docker", *words]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=60, check=True
    )
    return str(done.stdout).strip()


@asynccontextmanager
async def carried_out(plan: Plan, folder: Path, image: str | None) -> AsyncIterator[Run]:
    """A run that is over, for the checks; frees what it made in any case."""
    _prepare_servers()
    for name in ("state", "tmp", "box", "home"):
        (folder / name).mkdir(parents=True)
    for name in ("server.clock", "sandbox.clock"):
        (folder / name).write_bytes(bytes(8))
    for step in plan.steps:
        if step.is_transfer:
            place = folder if step.kind == "upload" else folder / "box"
            (place / step.id).write_bytes(step.content)
    with ExitStack() as machine:
        if plan.has(DiskFull):
            machine.enter_context(small_disk(folder / "state", DISK_MB))
        async with AsyncExitStack() as stack:
            run = Run(plan, folder, image)
            await run.proxy.open()
            stack.push_async_callback(run.proxy.close)
            await run.carry_out()
            yield run


def _prepare_servers() -> None:
    """Servers are forked from a process that has everything imported, which takes milliseconds."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.chaos.server_life"])
