"""Forwarding that is broken inside a container, as QEMU in a container leaves it.

The host sets a catch-all DNAT in PREROUTING of the container's own network namespace, so that what
arrives at the published port never comes to the client.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from typing import Any

import docker
import pytest

from tether_server import (
    CmdRunAction,
    EventStreamRuntime,
    OperatorRuntime,
    Ssh,
    TransportUnavailable,
)
from tether_server.record import load_record
from tether_server.transports import (
    Attempt,
    NoAnswer,
    TcpTransport,
    choose,
    name_of,
    probe,
    try_all,
)
from tether_server.transports.forwarding import where_it_breaks

from .conftest import StartBy

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root sets rules"),
]

ADMIN: dict[str, Any] = {"resources": {"cap_add": ["NET_ADMIN"]}, "keep": True}
AWAY = "192.0.2.1:9"
"""An address nobody has: what is sent there is lost."""


def set_rule(runtime: EventStreamRuntime, target: str | None = None) -> str:
    """Break the forwarding into a runtime's container: to `target`, else to a closed port of its
    own. Returns the container's address.
    """
    client = docker.from_env(version="auto")
    try:
        container = client.containers.get(load_record(runtime.name).handle["container"])
    finally:
        client.close()
    own = str(container.attrs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"])
    within = ["nsenter", f"--net=/proc/{container.attrs['State']['Pid']}/ns/net"]
    rule = ["-p", "tcp", "-j", "DNAT", "--to-destination", target or f"{own}:9"]
    command = [*within, "iptables", "-t", "nat", "-A", "PREROUTING", *rule]
    subprocess.run(command, check=True)
    return own


async def works(runtime: EventStreamRuntime) -> None:
    seen = await asyncio.wait_for(runtime.run(CmdRunAction(command="echo here")), 30)
    assert seen.content == "here\n"


@pytest.mark.parametrize(
    ("target", "kinds"), [(None, {"closed"}), (AWAY, {"silent", "closed", "unreachable"})]
)
async def test_tcp_is_told_to_be_broken_for_the_right_reason(
    start_by: StartBy, target: str | None, kinds: set[str]
) -> None:
    """An empty reply, or none at all; the others of the same sandbox work."""
    async with start_by("tcp", **ADMIN) as runtime:
        await works(runtime)
        own = set_rule(runtime, target)
        assert runtime._sandbox is not None
        transports = {x.name: x for x in runtime._sandbox.transports()}
        transports["tcp"].patience_s = 2.0  # less to wait for
        secret = runtime._spec.secret
        with pytest.raises(NoAnswer) as broken:
            await probe(transports["tcp"], secret)
        assert broken.value.kind in kinds
        others = [x for name, x in transports.items() if name != "tcp"]
        assert [x.name for x in others] == ["unix", "netns", "exec"]
        assert [x.problem for x in await try_all(others, secret, 20)] == [None] * 3
        with pytest.raises(TransportUnavailable) as caught:
            await choose("tcp", list(transports.values()), secret)
        told = caught.value.message
        assert "answers on the container's loopback" in told
        assert f"container's own address, {own}:5000, it is: " in told
        assert "a catch-all DNAT in PREROUTING" in told
        assert f"-j DNAT --to-destination {target or f'{own}:9'}" in told
        assert "It is not the client: unix answers in" in told
        assert caught.value.hint == "Start or attach with transport='unix', or 'auto'"
        began = time.monotonic()
        candidates = [transports[name] for name in ("tcp", "netns", "unix", "exec")]
        assert (await choose("auto", candidates, secret)).transport.name == "netns"
        assert time.monotonic() - began < 2
        await runtime.close(keep=False)


async def test_doctor_says_it(start_by: StartBy) -> None:
    """What the server was told to use is needed; the others say that the client is well."""
    async with start_by("tcp", **ADMIN) as runtime:
        pass
    assert (await doctor(runtime.name))["ok"]
    set_rule(runtime)
    seen = await doctor(runtime.name)
    found = {finding["name"]: finding for finding in seen["findings"]}
    assert not seen["ok"]
    assert [name for name, x in found.items() if x["status"] == "missing"] == ["by tcp"]
    assert "empty reply" in found["by tcp"]["detail"]
    assert "a catch-all DNAT in PREROUTING" in found["by tcp"]["fix"]
    assert {"by unix", "by netns", "by exec", "handshake"} <= set(found)
    async with OperatorRuntime.beside(runtime.name) as operator:
        assert operator.connection.startswith("unix: ")
        await works(operator)
    with pytest.raises(TransportUnavailable, match="a catch-all DNAT in PREROUTING"):
        await EventStreamRuntime.attach(runtime.name).start()
    async with EventStreamRuntime.attach(runtime.name, transport="netns") as again:
        assert again.connection.startswith("netns: ")
        await works(again)
    assert name_of(load_record(runtime.name).transport) == "tcp"


async def doctor(name: str) -> Any:
    command = [sys.executable, "-m", "tether_server.cli", "doctor", "--json", name]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", ["unix", "netns", "exec", "dial", "auto"])
async def test_the_others_work(start_by: StartBy, name: str) -> None:
    """Also on new connections: attached anew, and after a cut."""
    async with start_by(name, **ADMIN) as runtime:
        set_rule(runtime)
    async with EventStreamRuntime.attach(runtime.name) as again:
        await works(again)
        again.cut_connection()
        await works(again)
        if name == "auto":
            assert again.connection.startswith("unix: ")
            took = re.search(r"\(auto; unix answers in (\d+) ms", again.connection)
            assert took is not None
            assert int(took[1]) < 2000
        await again.close(keep=False)


async def test_what_lies_behind_ssh_is_told_apart(start_by: StartBy, ssh_settings: Ssh) -> None:
    """SSH works, and the port that is published behind it is broken."""
    async with start_by("ssh", **ADMIN) as runtime:
        await works(runtime)
        set_rule(runtime)
        assert runtime._sandbox is not None
        with pytest.raises(TransportUnavailable) as caught:
            await choose("ssh", runtime._sandbox.transports(), runtime._spec.secret)
        told = caught.value.message
        assert "ended without a word" in told
        assert "works: what is broken is the way from there to the container" in told
        await runtime.close(keep=False)


async def test_a_container_without_a_network_has_no_forwarding_to_break(start_by: StartBy) -> None:
    with pytest.raises(TransportUnavailable, match="as without a network of its own") as caught:
        await start_by("tcp", network="none").start()
    assert "DNAT" not in caught.value.message
    assert "unix answers in" in caught.value.message


def attempt(kind: str | None) -> Attempt:
    async def nowhere() -> tuple[str, int]:
        return "", 0

    problem = None if kind is None else NoAnswer(kind, f"it was {kind}")  # type: ignore[arg-type]
    return Attempt(TcpTransport(nowhere), problem=problem)


@pytest.mark.parametrize(
    ("own", "loopback", "words"),
    [
        (None, None, "the engine's forwarding from the published port"),
        ("closed", None, "inside the container's network namespace"),
        ("refused", "refused", "Nothing listens on that port inside"),
        ("silent", "unreachable", "on its loopback: it was unreachable"),
        ("nowhere", None, "on its loopback: the client answers"),
    ],
)
def test_where_it_breaks(own: str | None, loopback: str | None, words: str) -> None:
    assert words in where_it_breaks(attempt(own), attempt(loopback))
