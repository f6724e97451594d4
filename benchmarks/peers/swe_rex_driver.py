"""Uses SWE-ReX's client for a benchmark that has other packages.

Run as a script by the Python that has SWE-ReX: it imports nothing of this project. It starts
SWE-ReX's server and answers each line `[number, verb, arguments …]` by `[number, bytes, problem]`,
as many at a time as are asked.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import subprocess
import sys

from swerex.runtime.abstract import (
    BashAction,
    CloseBashSessionRequest,
    CreateBashSessionRequest,
)
from swerex.runtime.remote import RemoteRuntime

START_S = 30


async def main() -> None:
    """Serve until standard input ends."""
    token = secrets.token_hex(16)
    port = free_port()
    where = ["--host", "127.0.0.1", "--port", str(port), "--auth-token", token]
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "swerex", *where),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    runtime = RemoteRuntime(auth_token=token, port=port, timeout=START_S)
    try:
        await serve(runtime)
    finally:
        server.terminate()
        await server.wait()


def free_port() -> int:
    """A port that nobody has at this moment; SWE-ReX's server cannot choose one itself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def serve(runtime: RemoteRuntime) -> None:
    """Answer each line when it is done."""
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            group.create_task(answer(runtime, *json.loads(line)))


async def answer(runtime: RemoteRuntime, number: int, verb: str, *arguments: str) -> None:
    """Do one thing and say what came of it."""
    size, problem = 0, ""
    try:
        size = await do(runtime, verb, *arguments)
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
    sys.__stdout__.write(json.dumps([number, size, problem]) + "\n")
    sys.__stdout__.flush()


async def do(runtime: RemoteRuntime, verb: str, *arguments: str) -> int:
    """The number of bytes a command wrote; 0 for the rest."""
    if verb == "start":
        await runtime.wait_until_alive(timeout=START_S)
    elif verb == "open":
        await runtime.create_session(CreateBashSessionRequest(session=arguments[0]))
    elif verb == "run":
        session, command = arguments
        done = await runtime.run_in_session(BashAction(session=session, command=command))
        return len(done.output.encode())
    elif verb == "close":
        await runtime.close_session(CloseBashSessionRequest(session=arguments[0]))
    return 0


if __name__ == "__main__":
    sys.stdout = sys.stderr  # SWE-ReX's client prints
    asyncio.run(main())
