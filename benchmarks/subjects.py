"""What is measured: a runtime on each backend of the plan."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from tether_server import CmdRunAction, EventStreamRuntime

from .plan import Plan


def new_runtime(backend: str, plan: Plan) -> EventStreamRuntime:
    """A runtime that is not started."""
    image = None if backend == "local" else plan.image
    return EventStreamRuntime(image, backend=backend, progress=plan.tell)


@asynccontextmanager
async def runtimes(plan: Plan) -> AsyncIterator[dict[str, EventStreamRuntime]]:
    """Per backend a started runtime whose shell session has run a command."""
    async with AsyncExitStack() as stack:
        started = {}
        for backend in plan.backends:
            plan.tell(f"starting a runtime on {backend}")
            started[backend] = await stack.enter_async_context(new_runtime(backend, plan))
            await started[backend].run(CmdRunAction(command="true"))
        yield started
