"""All sidecars of one sandbox: brought up, watched, and brought back for as long as it lives."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from tether_runtime_client.protocol.errors import StartFailed
from tether_runtime_client.protocol.events import Event, SidecarLost, SidecarStarted

from ..backends.in_thread import in_thread
from ..backends.sandbox_end import last_end_of, moment
from ..backoff import Backoff
from ..link import Ended
from .container import SidecarContainer, remove_all
from .plan import CONTAINER_LABEL, SIDECAR_LABEL, SidecarPlan

if TYPE_CHECKING:
    import docker

LONGEST_PAUSE_S = 30.0
LASTED_S = 60.0
"""One that lived for so long is brought back at once when it ends."""

KILLED = 137
SANDBOX_ENDS_S = 1
"""The kernel kills sidecars a moment before the engine knows that the sandbox has ended."""

Tell = Callable[[Event], None]

log = logging.getLogger(__name__)


class Sidecars:
    """Made for one sandbox, whose container has the id `of`. Used on one loop."""

    def __init__(
        self, engine: docker.DockerClient, sandbox: str, of: str, plans: Sequence[SidecarPlan]
    ) -> None:
        self._engine = engine
        self._of = of
        self._early: list[Event] = []
        self._tell: Tell = self._early.append
        self._still: Callable[[], bool] = lambda: True
        self._kept = [
            _Kept(engine, plan, sandbox, of, self._told, self._in_control) for plan in plans
        ]
        self.plans = tuple(plans)
        self.begun = False

    def begin(self, *, anew: bool) -> None:
        """Bring up those that do not run: the sandbox runs. Twice is safe.

        Where its life does not begin just now (`anew`), one that is not there was lost.
        """
        self.begun = True
        for kept in self._kept:
            kept.begin(anew=anew)

    async def up(self) -> None:
        """Wait until each listens, for the first time. Raises `StartFailed`."""
        for kept in self._kept:
            await asyncio.shield(kept.up)

    def serve(self, tell: Tell, still: Callable[[], bool]) -> None:
        """Who is told what happens to them, and what has happened already. They are looked after
        while `still` says so: another server may take the sandbox over. It makes safe what was
        told, which nobody else would tell.
        """
        early, self._early = self._early, []
        self._tell, self._still = tell, still
        for event in early:
            self._told(event)

    async def let_go(self) -> None:
        """Watch them no more. Twice is safe."""
        for kept in self._kept:
            await kept.let_go()

    def remove(self) -> None:
        """End them all, if there are any. Blocks; `let_go` comes first."""
        if self._kept:
            remove_all(self._engine, self._of)

    def _told(self, event: Event) -> None:
        self._tell(event)
        self._still()

    def _in_control(self) -> bool:
        return self._still()


class _Kept:
    """One of them."""

    def __init__(
        self,
        engine: docker.DockerClient,
        plan: SidecarPlan,
        sandbox: str,
        of: str,
        tell: Tell,
        in_control: Callable[[], bool],
    ) -> None:
        self._engine = engine
        self._plan = plan
        self._sandbox = sandbox
        self._of = of
        self._tell = tell
        self._in_control = in_control
        self._task: asyncio.Task[None] | None = None
        self._wanted = False
        self._said = ""
        self._known = ""
        self._perhaps_lost = False
        self.up: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def begin(self, *, anew: bool) -> None:
        self._wanted = True
        if self._task is None or self._task.done():
            self._perhaps_lost = not anew
            name = f"tether sidecar {self._plan.plugin}"
            self._task = asyncio.create_task(self._keep(), name=name)

    async def let_go(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self.up.cancel()

    async def _keep(self) -> None:
        """Life after life. It ends when the sandbox does not run."""
        pauses = Backoff(LONGEST_PAUSE_S)
        while True:
            self._wanted, began = False, time.monotonic()
            lived_in = await in_thread(self._sandbox_life)
            end = (
                await self._live(lived_in)
                if lived_in is not None
                else Ended("the sandbox has ended")
            )
            if not self._in_control():
                return
            if end is not None and not await self._outlived(end, lived_in):
                if not self._wanted:
                    return
                continue
            if end is not None:
                self._say_lost(end)
                if not self._in_control():  # whoever is looks after it, and tells of it
                    return
            if time.monotonic() - began > LASTED_S:
                pauses.reset()
            await pauses.wait()

    async def _live(self, lived_in: str) -> Ended | None:
        """Until it ends, which is told; None where the engine did not tell."""
        try:
            where = (self._engine, self._plan, self._sandbox, self._of)
            found = await SidecarContainer.find(*where)
            if found is None and self._perhaps_lost:
                await self._say_lost_before(lived_in)
            self._perhaps_lost = False
            one = found or await SidecarContainer.start(*where)
        except StartFailed as problem:
            if not self.up.done():
                self.up.set_exception(problem)
                self.up.exception()  # whoever waits gets it; perhaps nobody does
            return Ended(problem.message)
        except Exception as problem:  # whatever an engine's library raises: it is asked again
            log.warning("the sidecar of %r cannot be had: %s", self._plan.plugin, problem)
            return None
        try:
            self._say_up(one.id, new=found is None)
            return await one.ended()
        except Exception as problem:
            log.warning("the sidecar of %r cannot be watched: %s", self._plan.plugin, problem)
            return None
        finally:
            await one.let_go()

    async def _outlived(self, end: Ended, lived_in: str | None) -> bool:
        """Whether the sandbox runs on, in the same life."""
        if lived_in is None:
            return False
        if end.exit_code == KILLED and end.cause == "killed":
            await in_thread(self._give_sandbox_time_to_end)
        return await in_thread(self._sandbox_life) == lived_in

    async def _say_lost_before(self, lived_in: str) -> None:
        """It ended while nobody looked after it: between two servers, or without one."""
        of = self._engine, self._plan, self._of, lived_in
        self._say_lost(await in_thread(partial(_end_before, *of)))

    def _say_up(self, container: str, *, new: bool) -> None:
        """Whoever started it, where it is not the one before."""
        if not self.up.done():
            self.up.set_result(None)
        self._said = ""
        before, self._known = self._known, container
        if new or before not in ("", container):
            self._tell(SidecarStarted(plugin=self._plan.plugin, image=self._plan.image))

    def _say_lost(self, end: Ended) -> None:
        """What hinders it from coming back is told once."""
        if end.reason != self._said:
            self._said = end.reason
            self._tell(
                SidecarLost(
                    plugin=self._plan.plugin,
                    cause=end.cause,
                    reason=end.reason,
                    exit_code=end.exit_code,
                )
            )

    # --- in a thread

    def _sandbox_life(self) -> str | None:
        """When the life began that the sandbox's container is in; None where it does not run."""
        import docker.errors

        try:
            state: dict[str, Any] = self._engine.api.inspect_container(self._of)["State"]
        except docker.errors.NotFound:
            return None
        return str(state["StartedAt"]) if state["Running"] else None

    def _give_sandbox_time_to_end(self) -> None:
        import docker.errors
        import requests.exceptions

        with contextlib.suppress(docker.errors.NotFound, requests.exceptions.RequestException):
            self._engine.api.wait(self._of, timeout=SANDBOX_ENDS_S)


def _end_before(engine: docker.DockerClient, plan: SidecarPlan, of: str, lived_in: str) -> Ended:
    """How the last one ended within the sandbox's present life, if the engine remembers."""
    labels = [f"{CONTAINER_LABEL}={of}", f"{SIDECAR_LABEL}={plan.plugin}"]
    known = last_end_of(engine, labels, moment(lived_in))
    return known or Ended("it ended while no server looked after it")
