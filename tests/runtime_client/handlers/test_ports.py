"""Leases of ports as the client gives them out: bounds, ends, and who goes on with a listener."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from tether_runtime_client.handlers.ports import Ports
from tether_runtime_client.ports import leases, listening
from tether_runtime_client.protocol.actions import PortForwardAction, PortReverseAction
from tether_runtime_client.protocol.bulk import BulkStream, FailFrame, OpenFrame
from tether_runtime_client.protocol.errors import PortRefused, PortTaken, TicketInvalid
from tether_runtime_client.protocol.port_frames import (
    BeginFrame,
    EofFrame,
    TicketsFrame,
    WantFrame,
)

from .conftest import Desk, connected_pair


async def shown(desk: Desk, ticket: str) -> BulkStream:
    """The server's end of a connection that showed a ticket."""
    ours, theirs = await connected_pair()
    ours.send(OpenFrame(ticket=ticket))
    await desk.tickets.present(theirs)
    return ours


async def tickets(lease: BulkStream, count: int) -> list[str]:
    lease.send(WantFrame(count=count))
    frame = await asyncio.wait_for(lease.read(), 20)
    assert isinstance(frame, TicketsFrame)
    return list(frame.tickets)


async def refusal(stream: BulkStream) -> str:
    """The code that a connection was refused with."""
    frame = await asyncio.wait_for(stream.read(), 20)
    assert isinstance(frame, FailFrame), frame
    return frame.code


async def forward_lease(desk: Desk, ports: Ports, port: int) -> BulkStream:
    ready = await ports.forward(PortForwardAction(port=port), desk.context())
    return await shown(desk, ready.ticket)


def reverse_action(port: int = 0, owner: str = "the-first-owner") -> PortReverseAction:
    return PortReverseAction(owner=owner, port=port)


async def test_a_lease_gives_as_many_tickets_as_are_wanted_and_no_more_than_its_bound(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "MAX_OUT", 5)
    lease = await forward_lease(desk, Ports(desk.tickets), 1)
    assert len(await tickets(lease, 3)) == 3
    assert len(set(await tickets(lease, 3))) == 2
    lease.abort("the test is over")


async def test_tickets_end_with_their_lease_and_are_good_once(desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        lease = await forward_lease(desk, Ports(desk.tickets), server.getsockname()[1])
        first, second = await tickets(lease, 2)
        stream = await shown(desk, first)
        stream.send(BeginFrame())
        inside, _ = await asyncio.to_thread(server.accept)
        assert isinstance(await asyncio.wait_for(stream.read(), 20), BeginFrame)
        inside.close()
        assert await refusal(await shown(desk, first)) == TicketInvalid.code
        lease.abort("gone")
        async with asyncio.timeout(20):
            while desk.tickets.is_out(second):
                await asyncio.sleep(0.01)
        assert await refusal(await shown(desk, second)) == TicketInvalid.code
        stream.abort("the test is over")


async def test_there_are_so_many_streams_and_no_more(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "MAX_STREAMS", 2)
    lease = await forward_lease(desk, Ports(desk.tickets), 1)
    streams = [await shown(desk, ticket) for ticket in await tickets(lease, 3)]
    assert await refusal(streams[2]) == PortRefused.code
    for stream in (*streams, lease):
        stream.abort("the test is over")


async def test_nobody_inside_is_told(desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = free.getsockname()[1]
    lease = await forward_lease(desk, Ports(desk.tickets), nobody)
    (ticket,) = await tickets(lease, 1)
    stream = await shown(desk, ticket)
    stream.send(BeginFrame())
    assert await refusal(stream) == PortRefused.code
    lease.abort("the test is over")


async def test_the_same_owner_goes_on_with_a_listener_and_nobody_else_does(desk: Desk) -> None:
    ports = Ports(desk.tickets)
    ready = await ports.reverse(reverse_action(), desk.context())
    assert ready.port
    lease = await shown(desk, ready.ticket)
    again = await ports.reverse(reverse_action(ready.port), desk.context())
    assert again.port == ready.port
    with pytest.raises(PortTaken):
        await ports.reverse(reverse_action(ready.port, "somebody-else"), desk.context())
    with pytest.raises(PortTaken, match="listens on port"):
        await ports.reverse(reverse_action(ready.port + 1), desk.context())
    second = await shown(desk, again.ticket)
    _, writer = await asyncio.open_connection("127.0.0.1", ready.port)
    assert isinstance(await asyncio.wait_for(second.read(), 20), TicketsFrame)
    writer.close()
    second.send(EofFrame())
    await until_free(ready.port)
    lease.abort("the test is over")


async def test_a_lost_lease_is_waited_for_and_who_connects_meanwhile_waits_too(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = Ports(desk.tickets)
    ready = await ports.reverse(reverse_action(), desk.context())
    (await shown(desk, ready.ticket)).abort("lost")
    reader, writer = await asyncio.open_connection("127.0.0.1", ready.port)
    again = await ports.reverse(reverse_action(), desk.context())
    lease = await shown(desk, again.ticket)
    frame = await asyncio.wait_for(lease.read(), 20)
    assert isinstance(frame, TicketsFrame)
    stream = await shown(desk, frame.tickets[0])
    stream.send(BeginFrame())
    stream.send(EofFrame())
    assert await asyncio.wait_for(reader.read(), 20) == b""
    writer.close()
    monkeypatch.setattr(listening, "LINGER_S", 0.05)
    lease.abort("lost")
    assert ready.port
    await until_free(ready.port)


async def test_what_is_in_the_way_of_a_socket_inside(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "there"
    path.write_text("precious")
    action = PortReverseAction(owner="the-first-owner", path=str(path))
    with pytest.raises(PortTaken):
        await Ports(desk.tickets).reverse(action, desk.context())
    assert path.read_text() == "precious"


async def until_free(port: int) -> None:
    async with asyncio.timeout(20):
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)):
                    return
            await asyncio.sleep(0.01)
