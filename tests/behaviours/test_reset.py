"""`SessionResetAction` always works, soon, and leaves nothing of the session behind."""

from __future__ import annotations

import asyncio
import time

import pytest

from tether_server import (
    CommandStillRunning,
    EventStreamRuntime,
    ProcessError,
    SessionResetAction,
)

from .conftest import Shell
from .leftovers import each, naps, new_nap, one_naps

LEFT = {
    "ignores signals": "sh -c 'trap \"\" HUP TERM INT; {nap}; {nap}' &",
    "stopped": "{nap} & sleep 0.05; kill -STOP $!",
    "disowned": "{nap} & disown",
    "as by nohup": "(trap '' HUP; exec {nap} >/dev/null 2>&1 </dev/null) &",
    "own session": "setsid {nap} &",
    "double fork": "(setsid {nap} &)",
    "closed descriptors": "(setsid {nap} <&- >&- 2>&- &)",
    "no environment": "(env -i setsid {nap} &)",
    "no mark": "(ulimit -x 5; exec env -i setsid {nap} &)",
    "deep": 'sh -c \'sh -c "sh -c \\"{nap}; :\\"; :"; :\' &',
}

IN_THE_WAY = {
    "in front": "{nap}",
    "from a shell that is gone": "(setsid env -i {nap} >/dev/null 2>&1 &) ; exit 3",
    "and with another limit": "(ulimit -x 5; setsid {nap} >/dev/null 2>&1 &) ; exit 3",
    "busy loop": "{nap} & trap '' INT HUP TERM; while :; do :; done",
    "stopped shell": "{nap} & kill -STOP $$",
    "another program": "{nap} & exec sleep 1000",
    "frozen in the kernel": "\"$BASH\" -c '{nap} & kill -STOP $$; wait'",
}


async def reset(shell: Shell) -> None:
    """It has 3 seconds."""
    began = time.monotonic()
    await shell.reset()
    assert time.monotonic() - began < 3


async def test_whatever_a_session_has_left_in_the_background_ends(shell: Shell) -> None:
    used = {name: new_nap() for name in LEFT}
    await shell.run("cd / && export KEPT=1")
    for name, command in LEFT.items():
        await shell.run(command.format(nap=used[name]))
    await shell.run("sleep 0.1")
    assert await each(shell.runtime, used) == dict.fromkeys(LEFT, 1)
    await reset(shell)
    assert await each(shell.runtime, used) == dict.fromkeys(LEFT, 0)
    assert await shell.output("echo $PWD $KEPT") == "/ 1\n"


async def test_whatever_is_in_its_way(shell: Shell) -> None:
    for name, command in IN_THE_WAY.items():
        nap = new_nap()
        await shell.run(command.format(nap=nap), timeout_s=0.15)
        await one_naps(shell.runtime, nap)
        await reset(shell)
        assert await naps(shell.runtime, nap) == 0, name
        assert await shell.output("echo fresh") == "fresh\n", name


async def test_the_remains_of_many_shells(shell: Shell) -> None:
    """Each replaced one left something; all of it is the session's."""
    nap = new_nap()
    for _ in range(20):
        seen = await shell.run(f"(setsid {nap} >/dev/null 2>&1 </dev/null &) ; exit 1")
        assert seen.status == "session_ended"
    assert await naps(shell.runtime, nap) == 20
    await reset(shell)
    assert await naps(shell.runtime, nap) == 0


# Each would go on for longer than a reset may take, and none for ever: a reset that fails here must
# not take the machine with it.
STORMS = {
    "daemons": "for i in {{1..500}}; do sleep 0.01; (setsid {nap} &); done",
    "doubling": (
        "f() {{ {nap} & (($1)) || return; sleep 0.2; f $(($1 - 1)) & f $(($1 - 1)); }}; f 7"
    ),
    "daemons of daemons": (
        "(setsid \"$BASH\" -c 'for i in {{1..300}}; do sleep 0.02; setsid {nap} & done' &);"
        " sleep 0.5"
    ),
    "comets": (
        '(setsid "$BASH" -c'
        " 'f() {{ (($1)) || exit; sleep 0.003; (f $(($1 - 1)) &); }}; f 1000' &); {nap}"
    ),
}


@pytest.mark.parametrize("storm", STORMS.values(), ids=STORMS.keys())
async def test_a_storm_of_forks(shell: Shell, storm: str) -> None:
    nap = new_nap()
    await shell.run(storm.format(nap=nap), timeout_s=0.8)
    assert await naps(shell.runtime, nap) > 0
    await reset(shell)
    assert await naps(shell.runtime, nap) == 0
    assert await shell.output("echo fresh") == "fresh\n"


async def test_what_other_sessions_run_goes_on(shell: Shell) -> None:
    other = Shell(shell.runtime, shell.place, f"{shell.session}.other")
    nap = new_nap()
    await other.run(f"{nap} & (env -i setsid {nap} &) ; sleep 0.1")
    running = asyncio.create_task(other.run("sleep 1; echo through"))
    await shell.run(f"{nap} & sleep 0.1")
    assert await naps(shell.runtime, nap) == 3
    await reset(shell)
    assert await naps(shell.runtime, nap) == 2
    assert (await running).content == "through\n"
    await other.reset()
    assert await naps(shell.runtime, nap) == 0


async def test_resets_at_once_and_commands_meanwhile(shell: Shell) -> None:
    await shell.run("sleep 60", timeout_s=0.1)
    actions = [SessionResetAction(session=shell.session) for _ in range(5)]
    began = time.monotonic()
    resets = [asyncio.create_task(shell.runtime.run(action)) for action in actions]
    runs = [asyncio.create_task(shell.run("echo a")) for _ in range(5)]
    await asyncio.gather(*resets)
    assert time.monotonic() - began < 3
    for seen in await asyncio.gather(*runs, return_exceptions=True):
        if not isinstance(seen, CommandStillRunning):
            assert not isinstance(seen, BaseException)
            assert (seen.status, seen.content) in {("completed", "a\n"), ("session_ended", "")}
    assert await shell.output("echo b") == "b\n"


async def test_a_reset_of_a_session_nobody_used(shell: Shell) -> None:
    await reset(shell)
    assert await shell.output("echo a") == "a\n"


@pytest.mark.engine
async def test_where_no_process_more_can_be_started(debian: str) -> None:
    """Also no thread of the client: a sandbox as full as its limit of processes allows."""
    nap = new_nap()
    async with EventStreamRuntime(debian, resources={"pids_limit": 60}) as runtime:
        shells = [Shell(runtime, "debian", f"s{number}") for number in range(6)]
        for shell in shells:
            await shell.output("true")
        fill = f"perl -e '1 while fork; exec qw({nap})'"
        await shells[0].run(fill, timeout_s=1)
        with pytest.raises(ProcessError):
            await naps(runtime, nap)
        await asyncio.gather(*map(reset, shells))
        assert await naps(runtime, nap) == 0
        assert await shells[0].output("echo fresh") == "fresh\n"
