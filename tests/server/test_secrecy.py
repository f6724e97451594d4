"""A hostile process of another user inside looks for the secret everywhere, and it is nowhere."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tether_server import ActionLost, CmdRunAction, EventStreamRuntime, ExecAction, Tcp
from tether_server.record import load_record

pytestmark = pytest.mark.engine

HOSTILE = Path(__file__).parent / "hostile"
PYTHON = "/opt/tether/bin/python3"
MASK = 0x5A
STRANGER = "4321:4321"


def forms(secret: str) -> list[bytes]:
    """As it is, as the bytes it stands for, and both as somebody might write them down."""
    text, raw = secret.encode(), bytes.fromhex(secret)
    written = [text.hex().encode(), *map(base64.b64encode, (text, raw))]
    return [text, text.upper(), raw, *(form.rstrip(b"=") for form in written)]


def secrets_of(name: str) -> list[bytes]:
    record = load_record(name)
    needles = forms(record.secret)
    if isinstance(record.transport, Tcp) and record.transport.identity is not None:
        key = record.transport.identity.key.splitlines()[1].encode()
        needles += [key, base64.b64decode(key + b"=" * (-len(key) % 4))[:32]]
    return needles


async def search(
    runtime: EventStreamRuntime, needles: list[bytes], user: str | None
) -> dict[str, Any]:
    masked = [bytes(byte ^ MASK for byte in needle) for needle in needles]
    asked = json.dumps([base64.b64encode(x).decode() for x in masked]).encode()
    script = (HOSTILE / "probe.py").read_text()
    action = ExecAction(argv=(PYTHON, "-I", "-c", script), stdin=asked, user=user, timeout_s=120)
    seen = await runtime.run(action)
    assert seen.exit_code == 0, seen.stderr
    told: dict[str, Any] = json.loads(seen.stdout)
    return told


async def plant(runtime: EventStreamRuntime, secret: str, user: str | None) -> None:
    script = (HOSTILE / "planter.py").read_text()
    argv = [PYTHON, "-I", "-c", script, "100", secret]
    process = await runtime.spawn(argv, env={"PLANTED": secret}, user=user)
    async for line in process.stdout:
        if b"planted" in line:
            return


async def test_the_search_finds_what_there_is(busybox: str) -> None:
    """Each place where it looks gives away what was put there."""
    async with EventStreamRuntime(busybox, inject="mount") as runtime:
        planted = "ab" * 32
        await plant(runtime, planted, STRANGER)
        told = await search(runtime, forms(planted), STRANGER)
        kinds = {found.split()[0] for found in told["found"]}
        there = {"environ", "cmdline", "mem", "fd", "file", "name", "socket"}
        assert there <= kinds
        assert "ptrace" in told["looked"]


@pytest.mark.parametrize("image", ["debian", "busybox"])
async def test_another_user_finds_it_nowhere(request: pytest.FixtureRequest, image: str) -> None:
    """Neither the present one nor the one before it, nor a key for TLS; nor where it is handled:
    in a client that was changed its secret, was killed and started again.
    """
    options: dict[str, Any] = (
        {"inject": "mount", "network": "none"}
        if image == "busybox"
        else {"transport": Tcp(tls=True)}
    )
    async with EventStreamRuntime(request.getfixturevalue(image), **options) as runtime:
        needles = secrets_of(runtime.name)
        await runtime.rotate_secret()
        with pytest.raises(ActionLost):
            await runtime.exec(["/opt/tether/bin/bash", "-c", "kill -KILL $PPID"])
        needles += secrets_of(runtime.name)
        for user in (STRANGER, "65534"):
            told = await search(runtime, needles, user)
            assert told["found"] == []
            nobody_s = {"environ", "mem", "fd", "ptrace", "process_vm_readv", "pidfd_getfd"}
            assert nobody_s <= told["refused"].keys()
            assert told["looked"]["socket"] >= 2
            assert told["looked"]["cmdline"] >= 2
        assert_invisible(runtime, needles)


async def test_the_same_user_does_not_either(debian: str) -> None:
    """By the same means. He can do without: what he can do is in docs/security.md."""
    async with EventStreamRuntime(debian, user="4321", transport="exec") as runtime:
        needles = secrets_of(runtime.name)
        await runtime.rotate_secret()
        await runtime.run(CmdRunAction(command="sleep 100 &"))
        needles += secrets_of(runtime.name)
        told = await search(runtime, needles, None)
        assert told["uid"] == 4321
        assert told["found"] == []
        assert told["looked"]["mem"] > 10, "of the shell, its child and the way in: those are open"


def assert_invisible(runtime: EventStreamRuntime, needles: list[bytes]) -> None:
    """Nor is it in what an engine tells of a container."""
    container = load_record(runtime.name).handle["container"]
    for command in ("inspect", "logs", "top", "diff"):
        told = subprocess.run(["docker", command, container], capture_output=True, check=True)
        assert not [x for x in needles if x in told.stdout + told.stderr], command
