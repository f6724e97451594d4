"""What else copies files: `tar` over a pipe, SFTP and `tar` by SSH clients, the engine's two ways.

Each is used as a user of it would. All copy names and bytes; only `tar` and Tether bring modes and
times along, only Tether checks a sum, and only with Tether nothing half has its final name.
"""

from __future__ import annotations

import asyncio
import stat
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

import asyncssh
import paramiko

from ..plan import Plan
from .base import Copier, Copy
from .docker_exec import running_container
from .ssh_asyncssh import connect
from .ssh_paramiko import connected
from .sshd import running_sshd

if TYPE_CHECKING:
    from docker.models.containers import Container

_PIECE = 256 * 1024


@asynccontextmanager
async def open_copiers(plan: Plan, folder: Path) -> AsyncIterator[list[Copier]]:
    """The ways to copy of the plan's peers, ready. A container has `folder` under the same name."""
    async with AsyncExitStack() as stack:
        found: list[Copier] = []
        if {"asyncssh", "paramiko"} & set(plan.peers):
            plan.tell("starting an SSH server")
            sshd = stack.enter_context(running_sshd())
            if "asyncssh" in plan.peers:
                found += await stack.enter_async_context(_asyncssh(connect(sshd)))
            if "paramiko" in plan.peers:
                client = stack.enter_context(connected(sshd))
                found.append(stack.enter_context(_paramiko(client)))
        if "docker exec" in plan.peers and "docker" in plan.backends:
            mounts = (f"{folder}:{folder}",)
            found += _engine(stack.enter_context(running_container(plan.image, mounts=mounts)))
        yield found


def _in_thread(copy: Callable[[Path, Path], None]) -> Copy:
    async def copy_beside(source: Path, target: Path) -> None:
        await asyncio.to_thread(copy, source, target)

    return copy_beside


# tar

TAR = "tar over a pipe"


async def tar_pipe(source: Path, target: Path) -> None:
    """The floor: one `tar` packs and another unpacks, both on this machine."""
    with _packing(source) as packing:
        await _run(_unpack(target), stdin=packing.stdout)


def _pack(source: Path) -> list[str]:
    return ["tar", "-C", str(source.parent), "-cf", "-", source.name]


def _unpack(target: Path) -> list[str]:
    return ["tar", "-C", str(target.parent), "-xf", "-"]


@contextmanager
def _packing(source: Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(_pack(source), stdout=subprocess.PIPE) as process:
        yield process
    _check(process)


@contextmanager
def _unpacking(target: Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(_unpack(target), stdin=subprocess.PIPE) as process:
        yield process
    _check(process)


def _check(process: subprocess.Popen[bytes]) -> None:
    if process.returncode:
        raise RuntimeError(f"{process.args!r} ended with {process.returncode}")


async def _run(command: Sequence[str], stdin: IO[bytes] | None = None) -> None:
    await asyncio.to_thread(subprocess.run, command, check=True, stdin=stdin)


# SSH


@asynccontextmanager
async def _asyncssh(connecting: asyncssh.connect) -> AsyncIterator[list[Copier]]:
    async with connecting as connection, connection.start_sftp_client() as sftp:
        yield [
            Copier(
                "SFTP, asyncssh",
                lambda source, target: sftp.put(source, target, recurse=True),
                lambda source, target: sftp.get(source, target, recurse=True),
                slow=True,
            ),
            Copier(
                "tar over asyncssh",
                partial(_tar_up, connection),
                partial(_tar_down, connection),
                slow=True,
            ),
        ]


async def _tar_up(connection: asyncssh.SSHClientConnection, source: Path, target: Path) -> None:
    here = await asyncio.create_subprocess_exec(*_pack(source), stdout=subprocess.PIPE)
    assert here.stdout is not None
    command = " ".join(_unpack(target))
    async with connection.create_process(command, encoding=None) as there:
        while data := await here.stdout.read(_PIECE):
            there.stdin.write(data)
            await there.stdin.drain()
        there.stdin.write_eof()
        await there.wait(check=True)
    if await here.wait():
        raise RuntimeError(f"tar ended with {here.returncode}")


async def _tar_down(connection: asyncssh.SSHClientConnection, source: Path, target: Path) -> None:
    here = await asyncio.create_subprocess_exec(*_unpack(target), stdin=subprocess.PIPE)
    assert here.stdin is not None
    async with connection.create_process(" ".join(_pack(source)), encoding=None) as there:
        while data := await there.stdout.read(_PIECE):
            here.stdin.write(data)
            await here.stdin.drain()
        await there.wait(check=True)
    here.stdin.close()
    if await here.wait():
        raise RuntimeError(f"tar ended with {here.returncode}")


@contextmanager
def _paramiko(client: paramiko.SSHClient) -> Iterator[Copier]:
    with client.open_sftp() as sftp:
        yield Copier(
            "SFTP, paramiko",
            _in_thread(partial(_put, sftp)),
            _in_thread(partial(_get, sftp)),
            slow=True,
        )


def _put(sftp: paramiko.SFTPClient, source: Path, target: Path) -> None:
    """It has no trees of its own."""
    if not source.is_dir():
        sftp.put(str(source), str(target))
        return
    sftp.mkdir(str(target))
    for inner in source.iterdir():
        _put(sftp, inner, target / inner.name)


def _get(sftp: paramiko.SFTPClient, source: Path, target: Path, mode: int | None = None) -> None:
    if not stat.S_ISDIR(sftp.stat(str(source)).st_mode or 0 if mode is None else mode):
        sftp.get(str(source), str(target))
        return
    target.mkdir()
    for inner in sftp.listdir_attr(str(source)):
        _get(sftp, source / inner.filename, target / inner.filename, inner.st_mode)


# The engine


def _engine(container: Container) -> list[Copier]:
    return [
        Copier("docker cp", partial(_cp_up, container), partial(_cp_down, container), "docker"),
        Copier(
            "engine's archives, SDK",
            _in_thread(partial(_put_archive, container)),
            _in_thread(partial(_get_archive, container)),
            "docker",
        ),
    ]


async def _cp_up(container: Container, source: Path, target: Path) -> None:
    await _run(["docker", "cp", "-q", str(source), f"{container.id}:{target}"])


async def _cp_down(container: Container, source: Path, target: Path) -> None:
    await _run(["docker", "cp", "-q", f"{container.id}:{source}", str(target)])


def _put_archive(container: Container, source: Path, target: Path) -> None:
    with _packing(source) as packing:
        if not container.put_archive(str(target.parent), packing.stdout):
            raise RuntimeError("the engine took no archive")


def _get_archive(container: Container, source: Path, target: Path) -> None:
    pieces, _ = container.get_archive(str(source))
    with _unpacking(target) as unpacking:
        assert unpacking.stdin is not None
        for piece in pieces:
            unpacking.stdin.write(piece)
