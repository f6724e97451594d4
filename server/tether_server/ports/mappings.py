"""The mappings of one runtime: one for each port and address, however often it is asked for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from tether_runtime_client.protocol.errors import PortTaken

from .forward import Forward
from .options import (
    LOOPBACK,
    ForwardOptions,
    Place,
    ReverseOptions,
    place,
    protection,
    target,
)
from .reverse import Reverse

if TYPE_CHECKING:
    from ..calls import Calls

M = TypeVar("M", Forward, Reverse)
Key = tuple[str, str]
"""What is mapped, and the address or path it is mapped to, without the port there."""


class Ports:
    """Makes mappings, and closes all of them when the runtime is closed."""

    def __init__(self, calls: Calls, sandbox: str) -> None:
        self._calls = calls
        self._sandbox = sandbox
        self._forwards: dict[Key, Forward] = {}
        self._reverses: dict[Key, Reverse] = {}
        self._starting: dict[Forward | Reverse, asyncio.Task[None]] = {}

    async def forward(self, what: int | str, options: ForwardOptions) -> Forward:
        """The one mapping of that port to that address; see `Calls.forward`."""
        wanted = target(what)
        where = place(options.get("bind", LOOPBACK), options.get("port", 0), options.get("path"))
        token, tls = options.get("token"), options.get("tls")
        key = (f"{wanted[0] or wanted[1]}", where.path or where.host)
        known = self._forwards.get(key)
        if known is None:
            guard = protection(where, token, tls)
            known = Forward(self._calls, self._sandbox, wanted, where, guard)
            self._begin(self._forwards, key, known)
        else:
            _check_same_port(known, where)
            _check_same_guard(known, token, tls)
        await self._started(known)
        return known

    async def reverse(self, what: int | str, options: ReverseOptions) -> Reverse:
        """The one mapping of that port of here; see `Calls.reverse`."""
        wanted = target(what)
        path, asked = options.get("path"), options.get("port")
        port = (wanted[0] or 0) if asked is None and path is None else asked or 0
        inside = place(options.get("bind", LOOPBACK), port, path)
        host = place(options.get("host", LOOPBACK), 0, None).host
        leads_to = Place(host, wanted[0] or 0, wanted[1])
        key = (str(leads_to), inside.path or inside.host)
        known = self._reverses.get(key)
        if known is None:
            known = Reverse(self._calls, self._sandbox, wanted, host, inside)
            self._begin(self._reverses, key, known)
        else:
            _check_same_port(known, inside)
        await self._started(known)
        return known

    @property
    def all(self) -> tuple[Forward | Reverse, ...]:
        """Those that are open, oldest first of each kind."""
        known: list[Forward | Reverse] = [*self._forwards.values(), *self._reverses.values()]
        return tuple(one for one in known if one not in self._starting)

    def cut(self) -> None:
        """Drop the connections of all leases as a broken network would."""
        for mapping in self.all:
            mapping.cut()

    async def close(self) -> None:
        """Close all. Twice is safe."""
        for task in self._starting.values():
            task.cancel()
        await asyncio.gather(*self._starting.values(), return_exceptions=True)
        await asyncio.gather(*(mapping.close() for mapping in self.all))

    # --- inside

    def _begin(self, known: dict[Key, M], key: Key, made: M) -> None:
        def forget(_: object) -> None:
            if known.get(key) is made:
                del known[key]

        def on_started(task: asyncio.Task[None]) -> None:
            self._starting.pop(made, None)
            if task.cancelled() or task.exception() is not None:
                forget(made)

        known[key] = made
        made.on_closed(forget)
        task = asyncio.create_task(made.start())
        self._starting[made] = task
        task.add_done_callback(on_started)

    async def _started(self, mapping: Forward | Reverse) -> None:
        """Whoever asks while it starts waits for the same start."""
        starting = self._starting.get(mapping)
        if starting is not None:
            await asyncio.shield(starting)


def _check_same_port(known: Forward | Reverse, wanted: Place) -> None:
    if wanted.port in (0, known.port):
        return
    what = f"{known.inside} is forwarded at {known.here}"
    if isinstance(known, Reverse):
        what = f"{known.here} is to be had inside at {known.inside}"
    raise PortTaken(f"{what} already", hint="Use that one, or close it first", owner=known.url)


def _check_same_guard(known: Forward, token: str | bool | None, tls: object) -> None:
    same_token = token == known.token or (token is True and known.token is not None)
    if not token:
        same_token = known.token is None
    if not same_token or tls is not known.protection.tls:
        text = f"{known.inside} is forwarded at {known.here} already, with other protection"
        raise PortTaken(text, hint="Use that one, or close it first", owner=known.url)
