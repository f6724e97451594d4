"""What is measured: a runtime on each backend of the plan, and the peers' shells."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from tether_server import CmdRunAction, EventStreamRuntime

from .peers import Peer
from .peers.base import Call
from .plan import Plan
from .turns import Step


def new_runtime(backend: str, plan: Plan, mounts: Sequence[str] = ()) -> EventStreamRuntime:
    """A runtime that is not started; `mounts` are a container's."""
    if backend == "local":
        return EventStreamRuntime(None, backend=backend, progress=plan.tell)
    return EventStreamRuntime(plan.image, backend=backend, progress=plan.tell, mounts=mounts)


@asynccontextmanager
async def runtimes(
    plan: Plan, mounts: Sequence[str] = ()
) -> AsyncIterator[dict[str, EventStreamRuntime]]:
    """Per backend a started runtime whose shell session has run a command."""
    async with AsyncExitStack() as stack:
        started = {}
        for backend in plan.backends:
            plan.tell(f"starting a runtime on {backend}")
            runtime = new_runtime(backend, plan, mounts)
            started[backend] = await stack.enter_async_context(runtime)
            await started[backend].run(CmdRunAction(command="true"))
        yield started


@asynccontextmanager
async def peer_step(peer: Peer, command: str) -> AsyncIterator[Step]:
    """A shell of a peer, and the step that runs a command in it; a call that blocks may block."""
    if peer.open is not None:
        async with peer.open() as run:
            yield partial(run, command)
        return
    assert peer.opens_call is not None
    async with peer.opens_call() as call:
        yield partial(_block, call, command)


async def _block(call: Call, command: str) -> int:
    return call(command)
