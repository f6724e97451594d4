"""Interactive terminals: raw bytes, sizes, ends of every kind, nothing left behind."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from pathlib import Path

import pytest

from tether_runtime_client.handlers import terminal as terminal_module
from tether_runtime_client.handlers.terminal import Terminals
from tether_runtime_client.proctree import read_process
from tether_runtime_client.protocol import errors as e
from tether_runtime_client.protocol.actions import TerminalAction
from tether_runtime_client.protocol.bulk import BulkStream, EndFrame, FailFrame, ResizeFrame
from tether_runtime_client.settings import ClientSettings
from tether_runtime_client.shell import BashChoice

from .conftest import Desk, environment_of


@pytest.fixture
def terminals(desk: Desk, settings: ClientSettings) -> Terminals:
    return Terminals(
        desk.tickets,
        settings,
        environment_of(settings),
        BashChoice("/bin/bash", "5.2", "for the test"),
    )


async def shown(stream: BulkStream, until: str) -> str:
    """What the terminal shows, up to a match of `until`."""
    text = ""
    async with asyncio.timeout(20):
        while not re.search(until, text):
            message = await stream.read()
            assert isinstance(message, bytes), f"{message} after {text!r}"
            text += message.decode()
    return text


async def rest(stream: BulkStream) -> bytes:
    """Everything up to the end of the connection."""
    data = b""
    async with asyncio.timeout(30):
        while (message := await stream.read()) is not None:
            assert isinstance(message, bytes)
            data += message
    return data


def running(pid: int) -> bool:
    process = read_process(pid)
    return process is not None and process.alive


def sh(command: str, **fields: object) -> TerminalAction:
    return TerminalAction.model_validate({"argv": ("sh", "-c", command), **fields})


async def test_a_login_shell_of_the_given_size(desk: Desk, terminals: Terminals) -> None:
    action = TerminalAction(rows=33, cols=101, cwd="/usr", env={"A": "5"})
    async with desk.answer(terminals.handle(action, desk.context())) as (task, stream, ready):
        assert (ready.kind, ready.action_id) == ("terminal", "a1")
        await stream.write(b"stty size; echo $A $TERM $PWD; shopt login_shell; tty\n")
        text = await shown(stream, r"/dev/pts/\d+\r\n")
        assert "33 101" in text
        assert "5 xterm-256color /usr" in text
        assert re.search(r"login_shell\s+on", text)
        await stream.write(b"exit 7\n")
        await rest(stream)
        assert (await task).exit_code == 7


async def test_resizing_tells_the_program(desk: Desk, terminals: Terminals) -> None:
    action = sh("trap 'stty size; exit 0' WINCH; echo up; while :; do sleep 0.05; done")
    async with desk.answer(terminals.handle(action, desk.context())) as (task, stream, _):
        await shown(stream, "up")
        stream.send(ResizeFrame(rows=7, cols=200))
        assert b"7 200\r\n" in await rest(stream)
        assert (await task).exit_code == 0


async def test_bytes_are_raw_both_ways(desk: Desk, terminals: Terminals) -> None:
    action = sh(
        "stty raw -echo; echo up; head -c 256 | od -An -v -tx1 | tr -d ' \\n'; echo; exit 0"
    )
    async with desk.answer(terminals.handle(action, desk.context())) as (_, stream, _ready):
        await shown(stream, "up")
        await stream.write(bytes(range(256)))
        assert bytes(range(256)).hex().encode() in await rest(stream)


async def test_ctrl_c_is_a_byte_like_any_other(desk: Desk, terminals: Terminals) -> None:
    action = sh("trap 'echo caught; exit 3' INT; echo up; while :; do sleep 0.05; done")
    async with desk.answer(terminals.handle(action, desk.context())) as (task, stream, _):
        await shown(stream, "up")
        await stream.write(b"\x03")
        assert b"caught" in await rest(stream)
        assert (await task).exit_code == 3


@pytest.mark.parametrize(
    ("command", "code"), [("exit 0", 0), ("exit 200", 200), ("kill -9 $$", 137)]
)
async def test_exit_codes(desk: Desk, terminals: Terminals, command: str, code: int) -> None:
    handling = terminals.handle(sh(command), desk.context())
    async with desk.answer(handling) as (task, stream, _):
        await rest(stream)
        assert (await task).exit_code == code


async def test_all_output_comes_before_the_end(desk: Desk, terminals: Terminals) -> None:
    for _ in range(20):
        handling = terminals.handle(sh("seq 1 20000; echo last"), desk.context())
        async with desk.answer(handling) as (_, stream, _ready):
            data = await rest(stream)
        assert data == b"".join(b"%d\r\n" % n for n in range(1, 20001)) + b"last\r\n"


async def test_a_slow_reader_slows_the_program(
    desk: Desk, terminals: Terminals, tmp_path: Path
) -> None:
    mark = tmp_path / "done"
    action = sh(f"head -c 20000000 /dev/zero; echo > {mark}")
    async with desk.answer(terminals.handle(action, desk.context())) as (task, stream, _):
        await asyncio.sleep(1.5)
        assert not os.access(mark, os.F_OK)
        assert len(await rest(stream)) == 20_000_000
        assert (await task).exit_code == 0
    assert os.access(mark, os.F_OK)


async def test_a_paste_longer_than_the_terminals_buffer(desk: Desk, terminals: Terminals) -> None:
    action = sh("stty raw -echo; echo up; sleep 0.5; head -c 3000000 | sha256sum")
    data = os.urandom(3_000_000)
    async with desk.answer(terminals.handle(action, desk.context())) as (_, stream, _ready):
        await shown(stream, "up")
        for start in range(0, len(data), 100_000):
            await stream.write(data[start : start + 100_000])
        assert hashlib.sha256(data).hexdigest().encode() in await rest(stream)


async def test_everything_ends_when_the_connection_goes(
    desk: Desk, terminals: Terminals, settings: ClientSettings
) -> None:
    command = "trap '' HUP TERM; setsid sleep 987 & echo $!; sleep 987 & echo $! $$ up; wait"
    async with desk.answer(terminals.handle(sh(command), desk.context())) as (task, stream, _):
        text = await shown(stream, "up")
        pids = [int(word) for word in text.split() if word.isdigit()]
        assert len(pids) == 3
        assert all(running(pid) for pid in pids)
        assert os.listdir(settings.state / "sessions") == [str(pids[-1])]
        stream.abort("cut")
        assert (await task).exit_code == 137
    assert not any(running(pid) for pid in pids)
    assert os.listdir(settings.state / "sessions") == []


async def test_a_hang_up_is_enough_for_the_obedient(desk: Desk, terminals: Terminals) -> None:
    handling = terminals.handle(sh("echo up; sleep 987"), desk.context())
    async with desk.answer(handling) as (task, stream, _):
        await shown(stream, "up")
        stream.close()
        assert (await task).exit_code == 129


async def test_cancelling_ends_it(desk: Desk, terminals: Terminals) -> None:
    async with desk.answer(terminals.handle(sh("echo $$ up; cat"), desk.context())) as answered:
        task, stream, _ = answered
        pid = int((await shown(stream, "up")).split()[0])
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not running(pid)
        await rest(stream)


async def test_background_jobs_do_not_hold_the_terminal(
    desk: Desk, terminals: Terminals, tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    action = TerminalAction(
        argv=("bash", "-c", f"trap '' HUP; sleep 30 & echo $! > {pid_file}; exit 2")
    )
    async with desk.answer(terminals.handle(action, desk.context())) as (task, stream, _):
        await rest(stream)
        assert (await task).exit_code == 2
    pid = int(pid_file.read_text())
    assert running(pid), "what was detached on purpose goes on"
    os.kill(pid, 9)


async def test_a_program_that_closes_its_terminal(desk: Desk, terminals: Terminals) -> None:
    action = sh("echo bye; exec <&- >&- 2>&-; sleep 0.3; exit 6")
    async with desk.answer(terminals.handle(action, desk.context())) as (task, stream, _):
        assert await rest(stream) == b"bye\r\n"
        assert (await task).exit_code == 6


async def test_typing_at_a_program_that_does_not_read(
    desk: Desk, terminals: Terminals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal_module, "PROBE_AFTER_S", 0.2)
    handling = terminals.handle(sh("stty raw -echo; echo $$ up; exec sleep 987"), desk.context())
    async with desk.answer(handling) as (task, stream, _):
        pid = int((await shown(stream, "up")).split()[0])
        for _ in range(30):
            await stream.write(b"x" * 10_000)
        stream.abort("gone while the client does not read")
        async with asyncio.timeout(10):
            assert (await task).exit_code == 129
    assert not running(pid)


@pytest.mark.parametrize("frame", [FailFrame(message="x"), EndFrame(bytes=0, sha256="")])
async def test_frames_that_have_no_place_there(
    desk: Desk, terminals: Terminals, frame: FailFrame | EndFrame
) -> None:
    async with desk.answer(terminals.handle(sh("echo up; cat"), desk.context())) as answered:
        task, stream, _ = answered
        await shown(stream, "up")
        stream.send(frame)
        await rest(stream)
        assert (await task).exit_code == 129


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"argv": ("no-such-program",)}, e.CommandNotFound),
        ({"argv": ("/etc/passwd",)}, e.NotExecutable),
        ({"argv": ("sh",), "cwd": "/no/such/folder"}, e.WorkingDirectoryMissing),
        ({"argv": ("a\0b",)}, e.InvalidCommand),
        ({"argv": ("echo", "x" * 200_000)}, e.ArgumentsTooLong),
    ],
)
async def test_why_it_cannot_start(
    desk: Desk, terminals: Terminals, fields: dict[str, object], error: type[e.TetherError]
) -> None:
    action = TerminalAction.model_validate(fields)
    async with desk.answer(terminals.handle(action, desk.context())) as (task, stream, _):
        told = await stream.read()
        assert isinstance(told, FailFrame)
        assert await stream.read() is None
        with pytest.raises(error) as caught:
            await task
        assert type(caught.value) is error
        assert told.message == caught.value.message


async def test_an_image_without_any_shell(
    desk: Desk, settings: ClientSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = Terminals(
        desk.tickets, settings, environment_of(settings), BashChoice("", "", "there is none")
    )
    monkeypatch.setenv("PATH", "/no/such/folder")
    with pytest.raises(e.NoShell):
        await none.handle(TerminalAction(), desk.context())
    assert desk.events == []
    monkeypatch.setenv("PATH", "/bin")
    async with desk.answer(none.handle(TerminalAction(), desk.context())) as (task, stream, _):
        await stream.write(b"echo $0; exit 4\n")
        await rest(stream)
        assert (await task).exit_code == 4
