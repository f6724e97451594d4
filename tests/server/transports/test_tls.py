"""TLS to a sandbox: its own authority, at both ends, and nothing of it to be found inside."""

from __future__ import annotations

import asyncio

import pytest

from tether_runtime_client.protocol import auth
from tether_server import CmdRunAction, Dial, EventStreamRuntime, Tcp
from tether_server.record import load_record
from tether_server.transports import DialTransport, NoAnswer, TcpTransport, Tls, probe
from tether_server.transports.identity import make_identity

from .test_dial import ANY, dialling_to, echoes

SECRET = auth.new_secret()


async def test_a_dialler_goes_to_no_other_authority_s_server() -> None:
    identity = make_identity()
    transport = DialTransport(SECRET, ANY, identity)
    address = transport.listen()
    try:
        async with dialling_to(address, SECRET, authority=identity.authority):
            await echoes(transport)
        other = make_identity().authority
        for strangers in ({"authority": other}, {}, {"secret": auth.new_secret()}):
            given = {"authority": identity.authority, "secret": SECRET, **strangers}
            if not strangers:
                given["authority"] = None  # type: ignore[assignment]
            async with dialling_to(address, **given) as taken:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(transport.connect(), 0.5)
                assert taken == []
    finally:
        await transport.close()


async def test_one_address_is_by_tls_for_all_or_for_none() -> None:
    first = DialTransport(SECRET, ANY)
    second = DialTransport(auth.new_secret(), first.listen(), make_identity())
    try:
        with pytest.raises(NoAnswer, match="Address already in use"):
            await second.connect()
    finally:
        await first.close()
        await second.close()


LOOK = """
cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | grep -ac -e '[P]RIVATE KEY' -e '%s'
grep -rlas -e '[P]RIVATE KEY' -e '%s' /opt/tether/run /opt/tether/socket /tmp /run /root | wc -l
"""
"""Patterns that do not match themselves."""


@pytest.mark.engine
async def test_a_port_by_tls(debian: str) -> None:
    """Neither without TLS, nor with another's authority; the key lies nowhere inside."""
    async with EventStreamRuntime(debian, transport=Tcp(tls=True), keep=True) as runtime:
        settings = load_record(runtime.name).transport
        assert isinstance(settings, Tcp)
        assert settings.identity is not None
        assert runtime._link is not None
        transport = runtime._link.transport
        assert isinstance(transport, TcpTransport)
        where = transport._find_address
        with pytest.raises(NoAnswer):
            await probe(TcpTransport(where), runtime._spec.secret, 5)
        other = Tls(make_identity().authority)
        with pytest.raises(NoAnswer, match="certificate verify failed"):
            await probe(TcpTransport(where, tls=other), runtime._spec.secret)
        first, *rest = settings.identity.handed_over()[:60]
        handed = f"[{first}]{''.join(rest)}"
        seen = await runtime.run(CmdRunAction(command=LOOK % (handed, handed)))
        assert seen.content == "0\n0\n"
    async with EventStreamRuntime.attach(runtime.name) as again:
        assert again.connection.startswith("tcp: ")
        assert (await again.run(CmdRunAction(command="echo again"))).content == "again\n"
        await again.close(keep=False)


@pytest.mark.engine
async def test_dialled_by_tls_and_attached_again(debian: str) -> None:
    async with EventStreamRuntime(debian, transport=Dial(tls=True), keep=True) as runtime:
        seen = await runtime.run(CmdRunAction(command="tr '\\0' '\\n' </proc/1/cmdline"))
        assert "--dial-authority" in seen.content
    async with EventStreamRuntime.attach(runtime.name) as again:
        assert (await again.run(CmdRunAction(command="echo again"))).content == "again\n"
        await again.close(keep=False)
