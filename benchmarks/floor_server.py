"""The far process of two floors: a websocket that echoes, or one that hands lines to a bash.

Run as a script, `floor_server.py echo|bash PATH`: it imports nothing of this project.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable

from websockets.asyncio.server import ServerConnection, unix_serve

Answer = Callable[[str | bytes], Awaitable[str | bytes]]


async def echo(message: str | bytes) -> str | bytes:
    """Answer with the same."""
    return message


def bash() -> Answer:
    """Answer with the status of the message as a command in a kept bash."""
    status, told = os.pipe()
    shell = subprocess.Popen(["bash", "--norc"], stdin=subprocess.PIPE, pass_fds=[told], bufsize=0)
    statuses: asyncio.Queue[bytes] = asyncio.Queue()
    asyncio.get_running_loop().add_reader(status, lambda: statuses.put_nowait(os.read(status, 100)))

    async def answer(message: str | bytes) -> bytes:
        assert shell.stdin is not None
        assert isinstance(message, str)
        shell.stdin.write(f"{message}\necho $? >&{told}\n".encode())
        return await statuses.get()

    return answer


async def serve(kind: str, path: str) -> None:
    """Serve until killed; a line on standard output says when it listens."""
    answer = bash() if kind == "bash" else echo

    async def talk(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(await answer(message))

    async with unix_serve(talk, path, compression=None) as server:
        sys.stdout.write("listening\n")
        sys.stdout.flush()
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2]))
