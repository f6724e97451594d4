"""SWE-ReX from PyPI: its own server on loopback, its own client, in an environment of their own."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path

from tether_image_builder.locks import cache_folder, held

from .base import Peer, Run

VERSION = "1.4.0"
PACKAGES = (f"swe-rex=={VERSION}", "aiohttp")  # its client needs the second and does not say so
_DRIVER = Path(__file__).with_name("swe_rex_driver.py")
_LONGEST_ANSWER = 1024 * 1024


@asynccontextmanager
async def swerex_peers(tell: Callable[[str], None]) -> AsyncIterator[list[Peer]]:
    """A kept shell, as SWE-ReX keeps it: by reading prompts."""
    python = await asyncio.to_thread(_environment, tell)
    tell("starting SWE-ReX")
    process = await asyncio.create_subprocess_exec(
        *(python, _DRIVER),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        limit=_LONGEST_ANSWER,
    )
    driver = _Driver(process)
    try:
        await driver.ask("start")
        yield [
            Peer(
                f"SWE-ReX {VERSION}, kept shell",
                "a shell, prompted",
                partial(_kept, driver, count(1)),
                block=1,
                each=1,
                has_terminal=True,
                most_output=1_000_000,
            )
        ]
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


def _environment(tell: Callable[[str], None]) -> Path:
    """The Python of an environment that has it, made where there is none."""
    folder = cache_folder() / "benchmarks" / f"swe-rex-{VERSION}-{sys.version_info.minor}"
    with held(folder.name):
        if not (folder / "ready").exists():
            tell(f"installing SWE-ReX {VERSION} in {folder} (about half a minute)")
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            install = [folder / "bin" / "pip", "install", "--quiet", *PACKAGES]
            subprocess.run(install, check=True)
            (folder / "ready").touch()
    return folder / "bin" / "python"


@asynccontextmanager
async def _kept(driver: _Driver, numbers: count[int]) -> AsyncIterator[Run]:
    session = f"s{next(numbers)}"
    await driver.ask("open", session)

    async def run(command: str) -> int:
        return await driver.ask("run", session, command)

    try:
        yield run
    finally:
        await driver.ask("close", session)


class _Driver:
    """The process that uses SWE-ReX's client: requests and answers are lines of JSON."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._numbers = count(1)
        self._answers: dict[int, asyncio.Future[int]] = {}
        self._reader = asyncio.create_task(self._read())

    async def ask(self, verb: str, *arguments: str) -> int:
        """The answer, a number; raises `RuntimeError` with what went wrong."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([number, verb, *arguments]).encode() + b"\n")
        return await answer

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            number, size, problem = json.loads(line)
            answer = self._answers.pop(number)
            if problem:
                answer.set_exception(RuntimeError(problem))
            else:
                answer.set_result(size)
        for answer in self._answers.values():
            answer.set_exception(RuntimeError("the driver of SWE-ReX ended"))
