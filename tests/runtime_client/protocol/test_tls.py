"""TLS by an authority of one's own: who is taken for whom, and each way ended alone."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from tether_runtime_client.protocol.joint import Joints
from tether_runtime_client.protocol.tls import presenting, secured, trusting
from tether_server.transports import identity as identity_module
from tether_server.transports.identity import Identity, make_identity


@pytest.fixture
async def joints() -> AsyncIterator[Joints]:
    made = Joints()
    yield made
    await made.close()


def pair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


def shown(identity: Identity) -> ssl.SSLContext:
    return presenting(f"{identity.certificate}\n{identity.key}")


async def shake_hands(
    joints: Joints, trust: ssl.SSLContext, show: ssl.SSLContext
) -> list[socket.socket | BaseException]:
    ours, theirs = pair()
    both = secured(ours, trust, joints, "one"), secured(theirs, show, joints)
    return await asyncio.gather(*both, return_exceptions=True)


async def refusal(joints: Joints, trust: ssl.SSLContext, show: ssl.SSLContext) -> object:
    """The end that listens may take the handshake for done before it hears of it."""
    refused, other = await shake_hands(joints, trust, show)
    if isinstance(other, socket.socket):
        other.close()
    return refused


async def test_each_way_ends_alone(joints: Joints) -> None:
    identity = make_identity()
    ends = await shake_hands(joints, trusting(identity.authority), shown(identity))
    (one, two) = [await asyncio.open_connection(sock=end) for end in ends]  # type: ignore[arg-type]
    content = os.urandom(3_000_000)
    one[1].write(content)
    one[1].write_eof()
    two[1].write(content[:1_000_000])  # while the other way is still full
    assert await asyncio.wait_for(two[0].read(), 20) == content
    two[1].write(content[1_000_000:])
    two[1].write_eof()
    assert await asyncio.wait_for(one[0].read(), 20) == content
    one[1].close()
    two[1].close()


@pytest.mark.parametrize("other", ["another sandbox's", "the machine's", "none"])
async def test_nothing_but_its_own_authority_s_is_taken(joints: Joints, other: str) -> None:
    identity = make_identity()
    if other == "the machine's":
        trust = ssl.create_default_context()
    else:
        trust = trusting(make_identity().authority)
    if other == "none":
        ours, theirs = pair()
        theirs.send(b"HTTP/1.1 200 OK\r\n\r\n" * 10)
        with pytest.raises(ssl.SSLError):
            await secured(ours, trust, joints, "one")
        theirs.close()
        return
    refused = await refusal(joints, trust, shown(identity))
    assert isinstance(refused, ssl.SSLCertVerificationError)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"LIFE": timedelta(days=-1)}, "expired"),
        ({"SLACK": timedelta(days=-2), "LIFE": timedelta(days=9)}, "not yet valid"),
        ({"DOMAIN": "elsewhere.invalid"}, "ostname mismatch"),
    ],
)
async def test_a_certificate_out_of_its_time_or_of_another_name(
    joints: Joints, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], why: str
) -> None:
    """Though the authority is the right one."""
    for name, value in changes.items():
        monkeypatch.setattr(identity_module, name, value)
    identity = make_identity()
    refused = await refusal(joints, trusting(identity.authority), shown(identity))
    assert isinstance(refused, ssl.SSLCertVerificationError)
    assert why in str(refused)


async def test_a_cut_is_no_end(joints: Joints) -> None:
    """What is cut off in between does not pass for what was sent."""
    identity = make_identity()
    ours, theirs = pair()
    plain, between = pair()

    async def carry(source: socket.socket, target: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while data := await loop.sock_recv(source, 65536):
            await loop.sock_sendall(target, data)

    carrying = [asyncio.create_task(carry(*way)) for way in ((theirs, plain), (plain, theirs))]
    both = (
        secured(ours, trusting(identity.authority), joints, "one"),
        secured(between, shown(identity), joints),
    )
    one, two = await asyncio.gather(*both)
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(two, b"all of")
    assert await loop.sock_recv(one, 100) == b"all of"
    for task in carrying:
        task.cancel()
    await asyncio.gather(*carrying, return_exceptions=True)
    theirs.close()
    plain.close()
    assert await asyncio.wait_for(loop.sock_recv(one, 100), 20) == b""
    assert await asyncio.wait_for(loop.sock_recv(two, 100), 20) == b""
    one.close()
    two.close()


async def test_older_versions_are_refused(joints: Joints) -> None:
    identity = make_identity()
    old = trusting(identity.authority)
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
    refused = await refusal(joints, old, shown(identity))
    assert isinstance(refused, ssl.SSLError)


def test_an_identity_keeps_its_key_to_itself() -> None:
    identity = make_identity()
    assert "PRIVATE KEY" in identity.key
    assert "PRIVATE" not in repr(identity)
    assert len(identity.handed_over()) < 3000
