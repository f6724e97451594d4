"""The doors: SSH to a local server, and a runtime on this machine and in each kind of container.

They open once for a test process; every test has a session and a folder of its own.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from ..places import PLACES, Places
from .doors import Door, SshDoor, TetherDoor

sys.path.append(str(Path(__file__).parents[2]))  # `benchmarks` is no installed package

from benchmarks.peers.ssh_asyncssh import connect
from benchmarks.peers.sshd import PROGRAM, running_sshd

DOORS = ["ssh", *PLACES]
BEYOND_SSH = pytest.mark.parametrize("door", DOORS[1:], indirect=True)
"""For what SSH cannot do, or not for everybody: the test says what."""

_numbers = itertools.count(1)


class Doors:
    """Each way in, opened by the first test that asks for it."""

    def __init__(self, stack: AsyncExitStack, state: Path) -> None:
        self._stack = stack
        self._state = state
        self._ssh: SshDoor | None = None
        self._places = Places(stack, "/", everywhere=True)

    async def open(self, name: str, image: str | None) -> Door:
        """The door of that name."""
        if name == "ssh":
            return await self._open_ssh()
        os.environ["TETHER_STATE_DIR"] = str(self._state)
        runtime = await self._places.runtime(name, image)
        return TetherDoor(name, runtime, f"s{next(_numbers)}")

    async def _open_ssh(self) -> Door:
        if self._ssh is None:
            sshd = self._stack.enter_context(running_sshd())
            connection = await self._stack.enter_async_context(connect(sshd))
            sftp = await self._stack.enter_async_context(connection.start_sftp_client())
            self._ssh = SshDoor(connection, sftp)
        return self._ssh


@pytest.fixture(scope="session")
def shared_state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder of the shared runtimes, which outlive any one test's."""
    return tmp_path_factory.mktemp("parity")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def doors(shared_state_dir: Path) -> AsyncIterator[Doors]:
    """The doors of this process; they close with its last test."""
    before = os.environ.get("TETHER_STATE_DIR")
    async with AsyncExitStack() as stack:
        yield Doors(stack, shared_state_dir)
        os.environ["TETHER_STATE_DIR"] = str(shared_state_dir)
    if before is None:
        os.environ.pop("TETHER_STATE_DIR", None)
    else:
        os.environ["TETHER_STATE_DIR"] = before


@pytest_asyncio.fixture(params=DOORS, loop_scope="session")
async def door(request: pytest.FixtureRequest, doors: Doors) -> Door:
    """A way in, one after the other."""
    name: str = request.param
    if name == "ssh" and os.geteuid() != 0 and not Path(PROGRAM).exists():
        pytest.skip("there is no SSH server (docker/sshd, as root)")
    image = request.getfixturevalue(name) if name in ("debian", "busybox") else None
    return await doors.open(name, image)


@pytest_asyncio.fixture(loop_scope="session")
async def folder(door: Door) -> AsyncIterator[str]:
    """An empty folder at the far side."""
    made = (await door.output("mktemp -d /tmp/parity-XXXXXX")).strip()
    yield made
    await door.run(f"rm -rf {made}")
