"""Memory that runs out on this machine, where a group of the kernel's limits it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from pathlib import Path

import pytest

_OLD, _NEW = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
_LIMITS = {"memory.limit_in_bytes", "memory.max"}
_MEMORY = 224 * 1024 * 1024

PROGRAM = """
import asyncio, json
from tether_server import CmdRunAction, EventStreamRuntime

COMMANDS = ("tail /dev/zero", "sh -c 'kill -9 $$'", "x=; while :; do x=$x$x$RANDOM; done", "pwd")

async def main():
    async with EventStreamRuntime(backend="local", env={"HOME": "/"}) as runtime:
        await runtime.run(CmdRunAction(command="cd /tmp"))
        for command in COMMANDS:
            seen = await runtime.run(CmdRunAction(command=command, timeout_s=60))
            cause = seen.state_lost and seen.state_lost.cause
            print(json.dumps([seen.status, seen.exit_code, seen.oom_kills, cause]), flush=True)

asyncio.run(main())
"""


@pytest.fixture
def group() -> Iterator[Path]:
    """A group with little memory, where this user may make one."""
    folder = (_OLD if _OLD.is_dir() else _NEW) / f"tether-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as problem:
        pytest.skip(f"no memory group can be made here: {problem}")
    try:
        limits = [folder / name for name in _LIMITS if (folder / name).exists()]
        if not limits:
            pytest.skip("groups have no memory controller here")
        limits[0].write_text(str(_MEMORY))
        yield folder
    finally:
        folder.rmdir()


@pytest.mark.slow
async def test_memory_that_runs_out(group: Path) -> None:
    """Of a command and of its shell, told apart from a signal; the group's own count is asked."""
    enter = f'echo $$ >{group}/cgroup.procs && exec "$@"'
    words = ("-c", enter, "sh", sys.executable, "-c", PROGRAM)
    process = await asyncio.create_subprocess_exec("sh", *words, stdout=PIPE)
    said, _ = await process.communicate()
    assert process.returncode == 0
    command, killed, shell, after = map(json.loads, said.splitlines())
    assert command == ["completed", 137, 1, None]
    assert killed == ["completed", 137, 0, None]
    assert shell[0::3] == ["session_ended", "out_of_memory"]
    assert after == ["completed", 0, 0, None]
