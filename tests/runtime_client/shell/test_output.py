"""The byte log is exact, and belongs to the command that wrote it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import resource
import time
from pathlib import Path

import pytest

from tether_runtime_client.shell import ShellConfig, ShellSession

from .conftest import Driver, Listener, Opener, opened

BYTES = {
    "nothing": b"",
    "no final newline": b"abc",
    "blank lines around": b"\n\n\nabc\n\n\n",
    "tabs and spaces": b" \ta\t b  \n",
    "carriage returns": b"a\r\nb\rc\r\n",
    "NUL": b"a\0b\0\n",
    "all bytes": bytes(range(256)) * 3,
    "invalid UTF-8": b"\xff\xfe\xc3(\xe2\x82\n",
    "emoji": "🐎🇨🇿👩‍👩‍👧\n".encode(),
    "a long line": b"x" * 100_000 + b"\n",
    "escape sequences": b"\x1b[31mred\x1b[0m\x1b]0;title\x07\x9b1m\n",
    "across read boundaries": "é".encode() * 50_001,
    "prompts": b"bash-5.2# \n$ \n> \n",
}


@pytest.mark.parametrize("data", BYTES.values(), ids=BYTES.keys())
async def test_bytes_are_exact(shell: Driver, tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "data"
    file.write_bytes(data)
    assert (await shell.run(f"cat {file}")).output == data
    assert (await shell.run(f"cat {file} >&2")).output == data
    started = shell.start(f"cat {file}")
    assert (await started.result()).output == data
    assert started.command.total_bytes == len(data)


async def test_tails_are_never_late(shell: Driver) -> None:
    for number in range(1500):
        assert (
            await shell.run(f"/bin/echo {number}" if number % 10 else f"echo {number}")
        ).output == (f"{number}\n".encode())


async def test_a_large_output_is_whole(shell: Driver) -> None:
    command = "head -c 30000000 /dev/urandom > data; sha256sum < data"
    digest = (await shell.say(command)).split()[0]
    result = await shell.run("cat data", timeout_s=60)
    assert hashlib.sha256(result.output).hexdigest() == digest


async def test_background_output_is_its_own(shell: Driver) -> None:
    text = await shell.say("(sleep 0.3; echo late) & echo early")
    assert text.endswith("early\n")
    assert "late" not in await shell.say("echo between")
    await shell.listener.until(b"late\n")
    assert await shell.say("echo after") == "after\n"
    assert bytes(shell.listener.output) == b"late\n"


async def test_jobs_are_listed_and_killed(shell: Driver) -> None:
    began = time.monotonic()
    await shell.say("sleep 100 & nohup sleep 101 >/dev/null 2>&1 &")
    assert time.monotonic() - began < 1
    assert (await shell.say("jobs")).count("Running") == 2
    await shell.say("kill %1 %2; wait; true")
    assert await shell.say("jobs") == ""


async def test_a_server_in_the_background(shell: Driver) -> None:
    code = (
        "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1],"
        " flush=True); c = s.accept()[0]; c.sendall(b'hello'); c.close()"
    )
    await shell.say(f'python3 -c "{code}" > port &')
    port = await shell.say("until [ -s port ]; do sleep 0.01; done; cat port")
    assert (await shell.say(f"cat < /dev/tcp/127.0.0.1/{int(port)}")).startswith("hello")


async def test_a_background_flood_does_not_hold_up_commands(shell: Driver) -> None:
    await shell.say("yes & echo")
    for number in range(5):
        assert f"={number}\n" in (await shell.run(f"echo ={number}", timeout_s=5)).text
    await shell.run("kill %1")


async def test_others_answer_during_a_flood(config: ShellConfig) -> None:
    async with opened(config, "flood") as flood, opened(config, "other") as other:
        command = flood.session.start_command("head -c 200000000 /dev/zero", Count())
        times = []
        while not command.done.done():
            began = time.monotonic()
            assert await other.say("echo a") == "a\n"
            times.append(time.monotonic() - began)
        assert sorted(times)[len(times) * 9 // 10] < 0.5
        assert command.total_bytes == 200_000_000


class Count:
    def __init__(self) -> None:
        self.total = 0

    def write(self, data: memoryview | bytes, /) -> None:
        self.total += len(data)


async def test_memory_is_flat_in_a_flood(shell: Driver) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sink = Count()
    await shell.session.start_command("head -c 200000000 /dev/zero", sink).done
    assert sink.total == 200_000_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10_000


async def test_fifty_sessions(config: ShellConfig, no_leftovers: None) -> None:
    sessions = [ShellSession(str(n), config, listener=Listener()) for n in range(50)]
    drivers = [Driver(session, Listener()) for session in sessions]
    await asyncio.gather(*(session.start() for session in sessions))

    async def work(number: int, driver: Driver) -> None:
        await driver.say(f"x={number}")
        for _ in range(20):
            assert await driver.say("/bin/echo $x") == f"{number}\n"

    await asyncio.gather(*(work(n, driver) for n, driver in enumerate(drivers)))
    await asyncio.gather(*(session.close() for session in sessions))


async def test_ten_thousand_commands_do_not_drift(shell: Driver) -> None:
    async def descriptors() -> tuple[int, int]:
        await asyncio.sleep(0.1)  # the shell has some more open while it notes its variables
        own = len(os.listdir("/proc/self/fd"))
        return own, len(os.listdir(f"/proc/{shell.session.pid}/fd"))

    def memory() -> int:
        text = Path(f"/proc/{shell.session.pid}/statm").read_text()
        return int(text.split()[1]) * 4

    sink = Count()

    async def batch(count: int) -> float:
        began = time.perf_counter()
        for number in range(count):
            await shell.session.start_command(f"x={number}; (( x % 2 ))", sink).done
        return time.perf_counter() - began

    await batch(1000)
    first, size = await descriptors(), memory()
    early = await batch(1000)
    await batch(7000)
    late = await batch(1000)
    assert await descriptors() == first
    assert memory() - size < 1000
    assert late < early * 3


async def test_environment_for_one_command(shell: Driver) -> None:
    await shell.say("export A=1; B=2")
    env = {"A": "one\n'\"$x", "NEW": "2", "B": "3"}
    assert await shell.say('echo "$A|$NEW|$B"; env | grep ^NEW', env=env) == (
        "one\n'\"$x|2|3\nNEW=2\n"
    )
    assert await shell.say('echo "$A|$NEW|$B"') == "1||2\n"
    await shell.say("set -o posix")
    await shell.say("true", env=env)
    assert await shell.say('echo "$A|$NEW|$B"') == "1||2\n"


async def test_directory_for_one_command(shell: Driver) -> None:
    home = shell.session.cwd
    await shell.say("mkdir -p -- -dash 'sp ace'")
    assert await shell.say("pwd; cd /; pwd", cwd="/usr") == "/usr\n/\n"
    assert await shell.say("pwd", cwd="-dash") == f"{home}/-dash\n"
    assert await shell.say("pwd", cwd="sp ace") == f"{home}/sp ace\n"
    assert await shell.say("pwd") == f"{home}\n"
    result = await shell.run("echo no", cwd="/nosuch")
    assert result.code == 1
    assert "No such file" in result.text
    assert "no\n" not in result.text
    assert shell.session.cwd == home
    started = shell.start("sleep 60", cwd="/usr")
    await asyncio.sleep(0.1)
    shell.session.interrupt()
    assert (await started.result()).end.cwd == home
    assert await shell.say("pwd") == f"{home}\n"


async def test_five_hundred_variables(open_shell: Opener) -> None:
    env = {f"V{n}": f"{n}:" + "x" * 1000 for n in range(500)}
    shell = await open_shell(env=env)
    assert await shell.say("echo ${#V499}; env | grep -c ^V") == "1004\n500\n"
    await shell.run("exit 1")
    assert await shell.say("echo ${#V499}; env | grep -c ^V") == "1004\n500\n"


async def test_the_directory_is_told_with_its_links(shell: Driver) -> None:
    await shell.say("mkdir real && ln -s real link && cd link")
    assert shell.session.cwd.endswith("/link")
    await shell.say("PWD=/lie")
    assert shell.session.cwd.endswith("/real")


async def test_uvloop(config: ShellConfig) -> None:
    uvloop = pytest.importorskip("uvloop")

    async def main() -> None:
        async with opened(config) as driver:
            assert await driver.say("echo a") == "a\n"
            started = driver.start("read x; sleep 60")
            await started.waits()
            await driver.type("\n")
            driver.session.interrupt()
            await started.result()
            await driver.run("exit 3")
            assert await driver.say("echo b") == "b\n"

    await asyncio.to_thread(lambda: asyncio.Runner(loop_factory=uvloop.new_event_loop).run(main()))
