"""Shells that are kept, and terminals, over SSH and over Tether."""

from __future__ import annotations

import time

from .doors import Door, read_all, read_until


async def test_a_shell_keeps_its_state(door: Door, folder: str) -> None:
    async with door.shell() as shell:
        assert await shell.run(f"cd {folder} && export A=1 && b=2 && f() {{ echo $A$b; }}") == (
            "",
            0,
        )
        assert await shell.run('f; echo "$PWD"; false') == (f"12\n{folder}\n", 1)
        assert await shell.run("(exit 42)") == ("", 42)


async def test_shells_are_apart(door: Door) -> None:
    async with door.shell() as shell:
        await shell.run("mine=1")
        assert (await door.run("echo [$mine]")).stdout == b"[]\n"


async def test_a_job_outlives_its_command(door: Door, folder: str) -> None:
    async with door.shell() as shell:
        began = time.monotonic()
        await shell.run(f"(sleep 1; echo late >{folder}/late) >/dev/null 2>&1 & job=$!")
        assert time.monotonic() - began < 5
        shown, code = await shell.run(f"wait $job; cat {folder}/late")
    # A shell with a terminal tells of its jobs when it is asked to wait for one.
    assert (shown.splitlines()[-1], code) == ("late", 0)


async def test_a_shell_takes_long_input(door: Door) -> None:
    lines = "\n".join(f"line {number} $x `y`" for number in range(3000))
    async with door.shell() as shell:
        shown, code = await shell.run(f"cat <<'EOF' | wc -l | tr -d ' '\n{lines}\nEOF")
    assert (shown, code) == ("3000\n", 0)


async def test_output_of_a_shell_is_whole(door: Door) -> None:
    async with door.shell() as shell:
        shown, _ = await shell.run("seq 1 20000")
    assert shown == "".join(f"{number}\n" for number in range(1, 20_001))


async def test_a_terminal_is_one_and_has_its_size(door: Door) -> None:
    command = 'test -t 0 && test -t 1 && stty size; echo "$TERM"; exit 3'
    async with door.terminal(command, rows=31, cols=117) as terminal:
        shown = await read_all(terminal)
        assert shown.split() == [b"31", b"117", b"xterm-256color"]
        assert await terminal.exit_code() == 3


async def test_a_terminal_can_be_resized(door: Door) -> None:
    command = "trap 'stty size; exit' WINCH; echo up; while :; do sleep 0.05; done"
    async with door.terminal(command) as terminal:
        await read_until(terminal, b"up")
        terminal.resize(50, 161)
        assert b"50 161" in await read_all(terminal)


async def test_a_program_on_a_terminal_can_be_talked_to(door: Door) -> None:
    command = 'printf "name? "; read name; printf "hello %s\\n" "$name"'
    async with door.terminal(command) as terminal:
        await read_until(terminal, b"name? ")
        await terminal.write("Ada Lövelace\n".encode())
        shown = await read_all(terminal)
        assert "hello Ada Lövelace\r\n" in shown.decode()
        assert await terminal.exit_code() == 0


async def test_what_is_typed_shows_and_a_password_does_not(door: Door) -> None:
    command = "echo up; read a; stty -echo; echo down; read b; stty echo; echo [$a][$b]"
    async with door.terminal(command) as terminal:
        await read_until(terminal, b"up")
        await terminal.write(b"seen\n")
        assert b"seen" in await read_until(terminal, b"down")
        await terminal.write(b"secret\n")
        shown = await read_all(terminal)
    assert shown.count(b"secret") == 1
    assert b"[seen][secret]" in shown


async def test_control_c_interrupts(door: Door) -> None:
    command = "trap 'echo interrupted; exit 7' INT; echo up; while :; do sleep 0.05; done"
    async with door.terminal(command) as terminal:
        await read_until(terminal, b"up")
        await terminal.write(b"\x03")
        assert b"interrupted" in await read_all(terminal)
        assert await terminal.exit_code() == 7


async def test_control_d_is_the_end(door: Door) -> None:
    async with door.terminal("cat; echo over") as terminal:
        await terminal.write(b"word\n")
        await read_until(terminal, b"word\r\nword\r\n")
        await terminal.write(b"\x04")
        assert b"over" in await read_all(terminal)


async def test_a_raw_terminal_carries_every_byte(door: Door) -> None:
    data = bytes(range(256)) * 20
    command = (
        f"stty raw -echo; echo up; head -c {len(data)} | od -An -v -tx1 | tr -d ' \\n'; echo ."
    )
    async with door.terminal(command) as terminal:
        await read_until(terminal, b"up")
        await terminal.write(data)
        shown = await read_until(terminal, b".")
    assert data.hex().encode() in shown


async def test_hanging_up_is_told_to_what_runs(door: Door, folder: str) -> None:
    command = f"trap 'echo gone >{folder}/gone; exit' HUP; echo up; while :; do sleep 0.05; done"
    async with door.terminal(command) as terminal:
        await read_until(terminal, b"up")
    wait = f"for i in $(seq 100); do test -s {folder}/gone && break; sleep 0.1; done"
    assert await door.output(f"{wait}; cat {folder}/gone") == "gone\n"
