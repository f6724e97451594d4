"""Who is in charge: one controller, any number of operators, and the lease without either."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from .protocol.errors import ControllerBusy, Fenced, ProtocolError
from .protocol.sandbox_side import Attach

PROBE_TIMEOUT_S = 2.0
"""A controller that does not answer a ping within this has lost its place to the next."""


class Peer(Protocol):
    """An authenticated connection that asks for a role."""

    def admit(self, attach: Attach, fence: int) -> None:
        """It has the role."""

    def refuse(self, error: ProtocolError) -> None:
        """It has not; the connection closes."""

    def probe(self, on_sign_of_life: Callable[[], None]) -> None:
        """Ask for a sign of life."""


class Control:
    """Admits peers. `on_abandoned` is called once when no peer was attached for `lease_s`."""

    def __init__(self, lease_s: float | None, on_abandoned: Callable[[], None]) -> None:
        self.fence = 0
        self._lease_s = lease_s
        self._on_abandoned = on_abandoned
        self._controller: Peer | None = None
        self._operators: set[Peer] = set()
        self._contender: tuple[Peer, Attach] | None = None
        self._probe: asyncio.TimerHandle | None = None
        self._lease: asyncio.TimerHandle | None = None

    @property
    def is_controlled(self) -> bool:
        """Whether a controller is attached."""
        return self._controller is not None

    def start(self) -> None:
        """Start the lease; the first peer ends it."""
        self._renew_lease()

    def attach(self, peer: Peer, attach: Attach) -> None:
        """Decide on a peer that asks for a role: now, or when the present controller was probed."""
        if attach.role == "operator":
            self._operators.add(peer)
            self._admit(peer, attach)
        elif self._controller is None:
            self._install(peer, attach)
        elif attach.takeover:
            self._take_over(peer, attach)
        elif self._contender is not None:
            peer.refuse(ControllerBusy("another server asks for control at this moment"))
        else:
            self._probe_controller(peer, attach)

    def detach(self, peer: Peer) -> None:
        """The peer's connection is gone. Twice is safe."""
        self._operators.discard(peer)
        if self._contender is not None and self._contender[0] is peer:
            self._end_probe()
        if self._controller is peer:
            self._controller = None
            contender = self._end_probe()
            if contender is not None:
                self._install(*contender)
        self._renew_lease()

    def end_others(self, peer: Peer, error: ProtocolError) -> None:
        """Refuse everybody who is attached or asks to be, but for one."""
        contender = self._end_probe()
        attached = [*self._operators, self._controller, contender[0] if contender else None]
        for other in attached:
            if other is not None and other is not peer:
                other.refuse(error)

    def _install(self, peer: Peer, attach: Attach) -> None:
        self.fence += 1
        self._controller = peer
        self._admit(peer, attach)

    def _take_over(self, peer: Peer, attach: Attach) -> None:
        """Whoever was being considered meanwhile is answered for good: the place is taken."""
        contender = self._end_probe()
        self._fence_off("another server took the sandbox over")
        self._install(peer, attach)
        if contender is not None:
            contender[0].refuse(ControllerBusy("another server has just taken the sandbox over"))

    def _admit(self, peer: Peer, attach: Attach) -> None:
        self._renew_lease()
        peer.admit(attach, self.fence)

    def _fence_off(self, reason: str) -> None:
        old, self._controller = self._controller, None
        if old is not None:
            old.refuse(Fenced(reason))

    def _probe_controller(self, peer: Peer, attach: Attach) -> None:
        assert self._controller is not None
        self._contender = (peer, attach)
        loop = asyncio.get_running_loop()
        self._probe = loop.call_later(PROBE_TIMEOUT_S, self._controller_is_silent)
        probed = self._controller
        probed.probe(lambda: self._controller_answered(probed))

    def _controller_answered(self, probed: Peer) -> None:
        """Late answers of one that is no controller any more say nothing about the present one."""
        contender = self._end_probe() if probed is self._controller else None
        if contender is not None:
            contender[0].refuse(ControllerBusy("another server controls this sandbox and answers"))

    def _controller_is_silent(self) -> None:
        contender = self._end_probe()
        if contender is not None:
            self._fence_off("this server did not answer a ping while another asked for control")
            self._install(*contender)

    def _end_probe(self) -> tuple[Peer, Attach] | None:
        if self._probe is not None:
            self._probe.cancel()
            self._probe = None
        contender, self._contender = self._contender, None
        return contender

    def _renew_lease(self) -> None:
        if self._lease is not None:
            self._lease.cancel()
            self._lease = None
        if self._lease_s is not None and self._controller is None and not self._operators:
            loop = asyncio.get_running_loop()
            self._lease = loop.call_later(self._lease_s, self._on_abandoned)
