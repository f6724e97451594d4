"""Find, grep and disk usage: each in a process of its own, which is killed when nobody waits."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import suppress
from typing import Any

from .. import files as core
from ..dispatcher import Context
from ..processes import CommandNotFound, NotExecutable, Process, ProcessStartError, start_process
from ..processes.program import DEFAULT_PATH, find_program
from ..protocol import errors as e
from ..protocol import observations as o
from ..protocol import tree_actions as t
from ..protocol.os_errors import printable
from ..settings import ClientSettings
from . import registry
from .file_errors import protocol_error

SEARCHES = 4
"""How many run at once; more wait for one of them to end."""

MAX_ANSWER = 8 * 1024 * 1024
"""The most bytes that are taken from the process: more than any page it makes."""

MAX_COMPLAINT = 4_000
"""The same for what it says about itself."""

GRACE_S = 10.0
"""A search ends itself when its time is over; one that hangs is killed this much later."""

END_S = 5.0
"""How long a killed process may take to vanish."""

_COMMAND = ("-I", "-X", "utf8", "-m", "tether_runtime_client.search")


class Searches:
    """Handles `FindFilesAction`, `GrepAction` and `DiskUsageAction`."""

    def __init__(self, settings: ClientSettings) -> None:
        self._registry = str(settings.state / "sessions")
        self._room = asyncio.Semaphore(SEARCHES)

    async def find(self, action: t.FindFilesAction, _: Context) -> o.FindFilesObservation:
        """A page of files."""
        wanted = action.model_dump(exclude={"action", "timeout_s"})
        answer = await self._search("find", action.path, wanted, action.timeout_s)
        for entry in answer["entries"]:
            entry["path"] = printable(entry["path"])
            entry["target"] = entry["target"] and printable(entry["target"])
        return o.FindFilesObservation(path=action.path, **answer)

    async def grep(self, action: t.GrepAction, _: Context) -> o.GrepObservation:
        """A page of matches."""
        wanted = action.model_dump(exclude={"action", "timeout_s"})
        wanted |= {"program": _ripgrep(), "environment": dict(os.environ)}
        answer = await self._search("grep", action.path, wanted, action.timeout_s)
        for found in (*answer["matches"], *answer["files"]):
            found["path"] = printable(found["path"])
        return o.GrepObservation(path=action.path, **answer)

    async def disk_usage(self, action: t.DiskUsageAction, _: Context) -> o.DiskUsageObservation:
        """The sums of a tree."""
        wanted = action.model_dump(exclude={"action", "timeout_s"})
        answer = await self._search("usage", action.path, wanted, action.timeout_s)
        for entry in answer["entries"]:
            entry["path"] = printable(entry["path"])
        return o.DiskUsageObservation(path=action.path, **answer)

    async def _search(
        self, kind: str, path: str, wanted: dict[str, Any], timeout_s: float | None
    ) -> dict[str, Any]:
        request = {"kind": kind, "wanted": wanted, "timeout_s": timeout_s}
        async with self._room:
            answer = await _Run(json.dumps(request).encode(), self._registry).answer(timeout_s)
        if "error" in answer:
            raise _error(path, **answer["error"])
        result: dict[str, Any] = answer["result"]
        result["unreadable"] = [printable(name) for name in result["unreadable"]]
        return {**result, "timed_out": answer["timed_out"]}


class _Run:
    """One process that searches."""

    def __init__(self, request: bytes, registered: str) -> None:
        self._request = request
        self._registry = registered
        self._stdout = bytearray()
        self._stderr = bytearray()
        self._process: Process | None = None

    async def answer(self, timeout_s: float | None) -> dict[str, Any]:
        """Start it and wait for its end. Cancelled, it leaves nothing running."""
        # Nothing of the image's environment may change how our own Python starts.
        env = {"PATH": os.environ.get("PATH", DEFAULT_PATH), "LC_ALL": "C.UTF-8"}
        argv = [sys.executable, *_COMMAND]
        try:
            process = start_process(argv, self._take, stdin=self._request, env=env)
        except ProcessStartError as problem:
            raise e.SpawnFailed(f"the search cannot be started: {problem.message}") from None
        self._process = process
        registry.note(self._registry, process.pid)
        try:
            async with asyncio.timeout(None if timeout_s is None else timeout_s + GRACE_S):
                await process.wait()
        except TimeoutError:
            raise e.FileError(
                f"the search did not end within {timeout_s:g} s: a file system does not answer",
                hint="Leave that part of the tree out",
            ) from None
        finally:
            await _end(process)
            registry.forget(self._registry, process.pid)
        return self._parsed()

    def _take(self, stream: str, data: memoryview) -> None:
        if stream == "stderr":
            self._stderr = (self._stderr + data)[-MAX_COMPLAINT:]
        elif len(self._stdout) <= MAX_ANSWER:
            self._stdout += data
        elif self._process is not None:
            self._process.kill()

    def _parsed(self) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = json.loads(self._stdout)
        except ValueError:
            said = self._stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise e.FileError(
                f"the search ended without a result: {said or 'it was killed'}",
                hint="Search a smaller part of the tree, or a page with a smaller offset",
            ) from None
        return answer


async def _end(process: Process) -> None:
    """Kill it with what it has started, unless it is over. One that hangs is the kernel's."""
    if process.status is not None:
        return
    process.kill()
    with suppress(TimeoutError):
        async with asyncio.timeout(END_S):
            await process.wait()


def _error(path: str, errno: int | None = None, message: str = "") -> e.TetherError:
    if errno is None:
        return e.InvalidPattern(message, path=printable(path))
    return protocol_error(core.from_os_error(OSError(errno, os.strerror(errno)), path))


def _ripgrep() -> str | None:
    try:
        return find_program("rg", os.environ.get("PATH", DEFAULT_PATH), None)
    except (CommandNotFound, NotExecutable):
        return None
