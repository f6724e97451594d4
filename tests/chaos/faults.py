"""Every kind of fault: how it strikes, and by what it is seen to have struck.

A fault waits for its place by progress, which is so many bytes through the proxy since the one
before it. `strike` returns what was seen, once the fault is over; one that was not seen to strike
raises `DidNotStrike`, and the run fails.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import struct
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ..runtime_client.full_disk import fill

if TYPE_CHECKING:
    from .run import Run


class DidNotStrike(AssertionError):
    """The fault was to strike, and nothing shows that it did."""


@dataclass(frozen=True)
class Fault(ABC):
    """One thing that goes wrong, after `after` more bytes; `amount` says how much, where it can."""

    after: int
    amount: float = 0.0

    weight: ClassVar[int] = 4
    places: ClassVar[tuple[str, ...]] = ("local", "docker")
    needs_root: ClassVar[bool] = False
    ends_client: ClassVar[bool] = False
    """Whether what runs is lost with it, and told as lost."""

    @abstractmethod
    async def strike(self, run: Run) -> str:
        """Called while nothing passes the proxy. `run.proxy.go_on` lets it pass again."""

    def __str__(self) -> str:
        return f"{type(self).__name__}(after={self.after}, amount={self.amount:.2f})"


def seen(happened: object, what: str) -> str:
    """What was seen; raises `DidNotStrike` when it was not."""
    if not happened:
        raise DidNotStrike(what)
    return what


# --- the network


class Cut(Fault):
    """Every connection ends here, by a reset or in good order, at any byte."""

    weight = 8

    async def strike(self, run: Run) -> str:
        there = run.proxy.standing
        count = run.proxy.cut(reset=self.amount < 0.5)
        run.proxy.go_on()
        return seen(count == there > 0, f"{count} connections cut")


class Refusals(Fault):
    """The same, and the next attempts to connect are closed at once."""

    async def strike(self, run: Run) -> str:
        count = 1 + int(self.amount * 3)
        await run.proxy.reset_and_receive(*["drop"] * count)  # type: ignore[arg-type]
        return f"{count} attempts to connect refused"


class NoAnswer(Fault):
    """The same, and the next attempt is taken and never answered."""

    weight = 1

    async def strike(self, run: Run) -> str:
        before = run.proxy.attempts
        await run.proxy.reset_and_receive("swallow")
        await run.proxy.attempted(before + 2)
        return "an attempt to connect was never answered, and another one came"


class Reordered(Fault):
    """The same, and of the next two attempts the later one comes through first."""

    weight = 1

    async def strike(self, run: Run) -> str:
        before = run.proxy.attempts
        await run.proxy.reset_and_receive("hold")
        await run.proxy.attempted(before + 2)
        return "two attempts to connect came in the other order"


class Lost(Fault):
    """Connections go silent, and neither end is told."""

    weight = 1

    async def strike(self, run: Run) -> str:
        before, count = run.proxy.attempts, run.proxy.lose()
        run.proxy.go_on()
        await run.proxy.attempted(before + 1)
        return seen(count, f"{count} connections went silent, and another one was made")


class Stalled(Fault):
    """Nothing passes for a while."""

    async def strike(self, run: Run) -> str:
        passed = run.proxy.passed
        await asyncio.sleep(0.02 + self.amount * 0.3)
        stood = run.proxy.passed == passed
        run.proxy.go_on()
        return seen(stood, "nothing passed")


class Split(Fault):
    """What passes does so byte by byte."""

    async def strike(self, run: Run) -> str:
        before, count = run.proxy.pieces_split, 10 + int(self.amount * 400)
        run.proxy.split_left = count
        run.proxy.go_on()
        await run.progress(count // 2)
        pieces = run.proxy.pieces_split - before
        return seen(pieces >= count // 2, f"{pieces} pieces of one byte")


class Delayed(Fault):
    """Each piece is late."""

    async def strike(self, run: Run) -> str:
        before, count = run.proxy.pieces_delayed, 4 + int(self.amount * 12)
        run.proxy.delay_s, run.proxy.delay_left = 0.002 + self.amount * 0.02, count
        run.proxy.go_on()
        await run.progress(2_000)
        while run.proxy.pieces_delayed == before:
            await run.progress(1)  # what waited for this fault to begin was not delayed
        pieces = run.proxy.pieces_delayed - before
        run.proxy.delay_left = 0
        return seen(pieces > 0, f"{pieces} pieces came late")


# --- the processes


class ServerKilled(Fault):
    """The server ends without a word; another process attaches by name."""

    weight = 8

    async def strike(self, run: Run) -> str:
        code = await run.kill_server()
        run.proxy.go_on()
        await run.start_server(first=False)
        return seen(code == -signal.SIGKILL, f"the server ended with {code}")


class ServerReplaced(Fault):
    """Another server takes over while the first one lives."""

    async def strike(self, run: Run) -> str:
        run.proxy.go_on()
        told = await run.replace_server()
        # The latter where its connection was lost before, and it came back too late.
        replaced = "took the sandbox over" in told or "another server controls" in told
        return seen(replaced, f"the first server was told: {told}")


class ServerStopped(Fault):
    """The server does not read for a while, and then catches up."""

    async def strike(self, run: Run) -> str:
        run.proxy.go_on()
        state = await stopped_for(run.server_pid, 0.1 + self.amount * 0.4)
        return seen(state == "T", "the server was stopped")


class ClientStopped(Fault):
    """The runtime client does nothing for a while."""

    async def strike(self, run: Run) -> str:
        run.proxy.go_on()
        state = await stopped_for(await run.client_pid(), 0.1 + self.amount * 0.4)
        return seen(state == "T", "the client was stopped")


class ClientKilled(Fault):
    """The runtime client ends without a word; its supervisor starts another one."""

    weight = 6
    ends_client = True

    async def strike(self, run: Run) -> str:
        pid, lives = await run.client_pid(), run.client_lives
        os.kill(pid, signal.SIGKILL)
        run.proxy.go_on()
        await run.until(lambda: run.client_lives > lives)
        return f"the client, {pid}, was killed, and another one told of its start"


async def stopped_for(pid: int, seconds: float) -> str:
    """Stop a process and continue it; returns the state it was seen in meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    finally:
        os.kill(pid, signal.SIGCONT)


# --- the machine


class DiskFull(Fault):
    """There is no room for the history nor, on this machine, for the journal; later there is."""

    weight = 3
    needs_root = True

    async def strike(self, run: Run) -> str:
        filler = fill(run.folder / "state")
        run.proxy.go_on()
        before = run.failed_writes
        try:
            await run.until(lambda: run.failed_writes > before)
            await asyncio.sleep(self.amount * 0.3)
        finally:
            filler.unlink()
        return "the disk was full, and the history or an action could not be written"


class ClockJumped(Fault):
    """The wall clock of one side jumps by hours, forth or back, and stays there."""

    async def strike(self, run: Run) -> str:
        seconds = (self.amount - 0.5) * 2 * 48 * 3600 or 3600
        both = ["server.clock", "sandbox.clock"] if run.plan.place == "local" else ["server.clock"]
        which = random.Random(self.after).choice(both)
        with (run.folder / which).open("r+b") as clock:  # mapped: it may not be truncated
            clock.write(struct.pack("d", seconds))
        run.proxy.go_on()
        run.jumps[which] = seconds
        return f"{which} is off by {seconds:.0f} s from now on"


# --- the container


class Paused(Fault):
    """The engine freezes the container for a while."""

    places = ("docker",)

    async def strike(self, run: Run) -> str:
        run.proxy.go_on()
        status = await run.container("pause")
        await asyncio.sleep(0.1 + self.amount * 0.5)
        after = await run.container("unpause")
        return seen((status, after) == ("paused", "running"), f"the container was {status}")


class Restarted(Fault):
    """The engine restarts the container: another client, after a stop in good order."""

    places = ("docker",)
    ends_client = True

    async def strike(self, run: Run) -> str:
        run.proxy.go_on()
        lives = run.client_lives
        status = await run.container("restart")
        await run.until(lambda: run.client_lives > lives)
        return seen(status == "running", "the container was restarted")


KINDS: tuple[type[Fault], ...] = (
    Cut, Refusals, NoAnswer, Reordered, Lost, Stalled, Split, Delayed,
    ServerKilled, ServerReplaced, ServerStopped, ClientStopped, ClientKilled,
    DiskFull, ClockJumped, Paused, Restarted,
)  # fmt: skip
