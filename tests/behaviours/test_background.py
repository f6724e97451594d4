"""Background: jobs return at once, go on, are listed, and end when they are told to."""

from __future__ import annotations

import asyncio
import re
import subprocess
import time

import pytest

from tether_server import (
    BackgroundOutput,
    CmdRunAction,
    EventStreamRuntime,
    ListProcessesAction,
    NoSuchProcess,
    NothingRunning,
    ProcessEntry,
    ProcessSignalAction,
    SessionWarning,
    SignalRefused,
)

from .conftest import Shell
from .leftovers import naps, new_nap


async def processes(shell: Shell, name: str = "sleep") -> list[ProcessEntry]:
    """Those of the session with this name, oldest first."""
    seen = await shell.runtime.run(ListProcessesAction(session=shell.session))
    assert seen.total == len(seen.processes)
    return [entry for entry in seen.processes if entry.argv and entry.argv[0] == name]


async def background(shell: Shell, since: int, text: str) -> str:
    """What background output there was in the session, once it ends with this text."""
    heard = ""
    async with asyncio.timeout(30):
        async for event in shell.runtime.events.subscribe(since):
            if isinstance(event, BackgroundOutput) and event.session == shell.session:
                heard += event.content
                if heard.endswith(text):
                    return heard
    raise AssertionError("the stream ended")


async def test_a_job_returns_at_once_and_outlives_its_command(shell: Shell) -> None:
    nap = new_nap()
    began = time.monotonic()
    seen = await shell.run(f"{nap} & echo started")
    assert time.monotonic() - began < 1
    assert (seen.status, seen.exit_code) == ("completed", 0)
    assert re.fullmatch(r"\[1\] \d+\nstarted\n", seen.content)
    assert await shell.output("true; kill -0 $! && echo there") == "there\n"
    assert nap in await shell.output("jobs")
    assert await naps(shell.runtime, nap) == 1


async def test_a_job_outlives_its_shell(shell: Shell) -> None:
    nap = new_nap()
    assert (await shell.run(f"{nap} & exit 3")).status == "session_ended"
    assert await shell.output("echo fresh") == "fresh\n"
    assert await naps(shell.runtime, nap) == 1


async def test_late_output_is_an_event_of_its_own(shell: Shell) -> None:
    since = shell.runtime.events.last_seq
    now = await shell.output("(sleep 0.4; echo late; echo later) & echo now")
    assert now.endswith("\nnow\n")
    assert "late" not in now
    assert await background(shell, since, "later\n") == "late\nlater\n"
    assert await shell.output("echo next") == "next\n"


async def test_late_output_that_comes_in_pieces(shell: Shell) -> None:
    """Reads of the terminal cut characters and control sequences; what is told has whole ones."""
    since = shell.runtime.events.last_seq
    text = "x=$(printf 'ž\\033[31m漢%.0s' {1..3000})"
    pieces = "printf 'a\\303'; sleep 0.1; printf '\\251\\n'"
    await shell.output(f'{text}; (sleep 0.2; printf %s "$x"; {pieces}) & :')
    assert await background(shell, since, "\n") == "ž漢" * 3000 + "aé\n"
    await shell.output("(sleep 0.1; printf 'half\\303') & :")
    since = shell.runtime.events.last_seq
    await shell.runtime.exec(["sleep", "0.3"])
    await shell.output("true")
    assert await background(shell, since, "half\ufffd") == "half\ufffd"


async def test_late_output_between_many_commands(shell: Shell) -> None:
    """A job writes all the time: nothing is lost, and nothing told twice."""
    since = shell.runtime.events.last_seq
    job = "(for i in $(seq 200); do echo job$i; sleep 0.005; done; echo over) & :"
    seen = await shell.output(job)  # it may have begun by then
    for number in range(100):
        seen += (await shell.run(f"echo own{number}")).content
        await asyncio.sleep(0.005)
    heard = await background(shell, since, "over\n")
    assert [line for line in seen.split() if line.startswith("own")] == [
        f"own{number}" for number in range(100)
    ]
    told = [line for line in (heard + seen).split() if line.startswith("job")]
    assert sorted(told) == sorted(f"job{number}" for number in range(1, 201))


async def test_a_job_that_reads_does_not_take_what_is_typed(shell: Shell) -> None:
    await shell.run("cat & :")
    await shell.run("read line; echo got $line", timeout_s=2)
    assert (await shell.type("text\n")).content.endswith("got text\n")


async def test_a_server_answers_on_its_port_inside(shell: Shell) -> None:
    server = f"perl -MIO::Socket::INET -e '{PERL}' &"
    if shell.place == "busybox":
        server = "mkdir www; echo hello >www/index.html; httpd -f -p 127.0.0.1:8123 -h www &"
    await shell.output(f"cd /tmp; {server}")
    ask = (
        "until { exec 5<>/dev/tcp/127.0.0.1/8123; } 2>/dev/null; do sleep 0.05; done;"
        r"printf 'GET / HTTP/1.0\r\n\r\n' >&5; cat <&5; exec 5>&-"
    )
    assert (await shell.output(ask)).endswith("hello\n")
    await shell.output("kill $!; rm -rf www")


PERL = (
    '$s = IO::Socket::INET->new(Listen => 5, LocalAddr => "127.0.0.1:8123", ReuseAddr => 1) or die;'
    'while ($c = $s->accept) { <$c>; print $c "HTTP/1.0 200 OK\\r\\n\\r\\nhello\\n"; close $c }'
)


async def test_jobs_and_daemons_are_listed(shell: Shell) -> None:
    nap, began = new_nap(), time.time()
    name = f"jobs-{shell.session}"
    script = f"sleep 0.03; {nap} & (env -i setsid {nap} >/dev/null 2>&1 &); sleep 0.03"
    await shell.runtime.run(CmdRunAction(command=script, session=shell.session), id=name)
    seen = await shell.run(f"sleep 0.03; {nap}", timeout_s=0.3)
    first, second, front = await processes(shell)
    for entry in (first, second, front):
        assert entry.argv == tuple(nap.split())
        assert entry.session == shell.session
        assert entry.state == "sleeping"
        assert began - 2 < entry.started < time.time() + 2
    assert [entry.foreground for entry in (first, second, front)] == [False, False, True]
    assert {first.action_id, second.action_id} == {name}
    assert front.action_id not in {name, None}
    assert front.parent == first.parent == seen.pid


async def test_a_listed_job_is_ended_by_its_pid(shell: Shell) -> None:
    nap = new_nap()
    await shell.run(f"{nap} | {nap} & {nap} & sleep 0.05")
    one, two, three = sorted(await processes(shell), key=lambda entry: entry.pid)
    assert one.group == two.group != three.group
    runtime = shell.runtime
    await runtime.run(ProcessSignalAction(pid=three.pid, signal="SIGSTOP", started=three.started))
    async with asyncio.timeout(10):
        while (await processes(shell))[-1].state != "stopped":  # it does so when it has a turn
            continue
    await runtime.run(ProcessSignalAction(pid=one.pid, whole_group=False, signal="SIGKILL"))
    async with asyncio.timeout(10):
        while await naps(runtime, nap) > 2:  # a killed one ends when it has a turn
            continue
    assert await naps(runtime, nap) == 2
    await runtime.run(ProcessSignalAction(pid=two.pid))
    await runtime.run(ProcessSignalAction(pid=three.pid, signal="SIGKILL"))
    async with asyncio.timeout(10):
        while await processes(shell):
            continue
    assert await naps(runtime, nap) == 0
    assert (await shell.output("echo on")).endswith("on\n")


async def test_a_daemon_that_ignores_signals_is_ended_by_its_pid(shell: Shell) -> None:
    nap = new_nap()
    script = f'trap "" HUP TERM INT; while :; do {nap}; done'
    await shell.run(f"(setsid sh -c '{script}' >/dev/null 2>&1 &); sleep 0.05")
    daemon = (await processes(shell, "sh"))[0]
    await shell.runtime.run(ProcessSignalAction(pid=daemon.pid, signal="SIGKILL"))
    async with asyncio.timeout(10):
        while await naps(shell.runtime, nap):
            continue


async def test_what_is_not_listed_is_not_signalled(shell: Shell) -> None:
    with pytest.raises(NothingRunning):
        await processes(shell)
    pid = (await shell.run("sleep 1000 & :")).pid
    async with asyncio.timeout(10):
        while not (found := await processes(shell)):  # it is still a copy of the shell
            continue
    (entry,) = found
    for other in (1, pid, 2**22):
        with pytest.raises(NoSuchProcess):
            await shell.runtime.run(ProcessSignalAction(pid=other))
    with pytest.raises(NoSuchProcess):
        await shell.runtime.run(ProcessSignalAction(pid=entry.pid, started=entry.started - 100))
    assert [one.pid for one in await processes(shell)] == [entry.pid]


async def test_a_long_list_is_cut(shell: Shell) -> None:
    await shell.run("for i in $(seq 20); do sleep 1000 & done; :")
    action = ListProcessesAction(session=shell.session, limit=5)
    seen = await shell.runtime.run(action)
    assert (len(seen.processes), seen.total) == (5, 20)
    assert [one.started for one in seen.processes] == sorted(one.started for one in seen.processes)


async def test_a_shell_waits_for_its_own_jobs_only(shell: Shell) -> None:
    """Orphans become the shell's children; `wait` and traps do not take them for jobs."""
    await shell.output("(sleep 0.2 &)")
    assert await shell.output("wait; echo $?") == "0\n"
    script = "set +m; (sleep 0.1 &); (sleep 0.4; exit 5) & wait -n; echo $?; wait; set -m; jobs"
    assert (await shell.output(script)).endswith("\n5\n")


@pytest.mark.engine
async def test_a_process_of_another_user(debian: str) -> None:
    """It is listed and cannot be ended from here: that is said, and the reset works anyhow."""
    nap = new_nap()
    async with EventStreamRuntime(debian, user="1000:1000") as runtime:
        shell = Shell(runtime, "debian", "default")
        mark = (await shell.output("ulimit -x")).strip()
        as_root(runtime, f"ulimit -x {mark}; (setsid {nap} >/dev/null 2>&1 &); sleep 0.1")
        (entry,) = await processes(shell)
        with pytest.raises(SignalRefused):
            await runtime.run(ProcessSignalAction(pid=entry.pid, signal="SIGKILL"))
        since, began = runtime.events.last_seq, time.monotonic()
        await shell.reset()
        assert time.monotonic() - began < 3
        told = [e.message for e in runtime.events.since(since) if isinstance(e, SessionWarning)]
        assert told == [f"processes that could not be ended: {entry.pid}"]
        assert await shell.output("echo fresh") == "fresh\n"


def as_root(runtime: EventStreamRuntime, script: str) -> None:
    """Through the engine, past the client."""
    where = ("docker", "exec", "-u", "0", f"tether-{runtime.name}", "bash", "-c", script)
    subprocess.run(where, check=True, timeout=60)
