"""What else runs commands in a sandbox: SSH by three clients, `docker exec`, SWE-ReX.

Each is used as well as its own documentation allows, and as simply: the code here is what a user
of it would have to write. A shell that is kept over any of the SSH clients or `docker exec` needs
somebody to find the end of a command in its output; `marker` is a fair way to do that, and the
same for all. It keeps no state safe, journals nothing and can be forged: that is the comparison.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from ..plan import Plan
from .base import Peer
from .docker_exec import docker_exec_peers
from .openssh import openssh_peers
from .ssh_asyncssh import asyncssh_peers
from .ssh_paramiko import paramiko_peers
from .sshd import running_sshd
from .swe_rex import swerex_peers

__all__ = ["Peer", "open_peers"]


@asynccontextmanager
async def open_peers(plan: Plan) -> AsyncIterator[list[Peer]]:
    """The peers of the plan, ready: servers run and connections are open."""
    async with AsyncExitStack() as stack:
        found: list[Peer] = []
        if {"ssh", "asyncssh", "paramiko"} & set(plan.peers):
            plan.tell("starting an SSH server")
            sshd = stack.enter_context(running_sshd())
            if "ssh" in plan.peers:
                found += openssh_peers(sshd)
            if "asyncssh" in plan.peers:
                found += await stack.enter_async_context(asyncssh_peers(sshd))
            if "paramiko" in plan.peers:
                found += stack.enter_context(paramiko_peers(sshd))
        if "docker exec" in plan.peers and "docker" in plan.backends:
            found += stack.enter_context(docker_exec_peers(plan.image))
        if "SWE-ReX" in plan.peers:
            found += await stack.enter_async_context(swerex_peers(plan.tell))
        yield found
