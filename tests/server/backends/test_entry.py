"""The image's own ENTRYPOINT and CMD: gone through, run beside, or skipped."""

from __future__ import annotations

import asyncio
import signal
from base64 import b64encode
from pathlib import Path
from typing import TypeVar

import docker
import pytest

from tether_server import (
    ClientStarted,
    CmdRunAction,
    EntrypointEnded,
    EntrypointStarted,
    Event,
    EventStreamRuntime,
    FileReadAction,
    StartFailed,
)
from tether_server.record import load_record

from .conftest import Find, MakeImage

pytestmark = pytest.mark.engine
E = TypeVar("E", bound=Event)


def script(base: str, *lines: str, more: str = "") -> str:
    """A Dockerfile with a script as its ENTRYPOINT."""
    text = b64encode("\n".join(["#!/bin/sh", *lines, ""]).encode()).decode()
    return (
        f"FROM {base}\n{more}\n"
        f"RUN echo {text} | base64 -d >/entry && chmod 755 /entry\n"
        'ENTRYPOINT ["/entry"]\nCMD ["a", "b c"]'
    )


async def output(runtime: EventStreamRuntime, command: str) -> str:
    return (await runtime.run(CmdRunAction(command=command))).content


async def event(runtime: EventStreamRuntime, kind: type[E]) -> E:
    """The first of a kind, also one that is still to come."""
    async with asyncio.timeout(30):
        async for found in runtime.events.subscribe():
            if isinstance(found, kind):
                return found
    raise AssertionError("a subscription has no end of its own")


# --- through -----------------------------------------------------------------------------------


async def test_sessions_have_what_the_entrypoint_exports(
    make_image: MakeImage, busybox: str, inject: str
) -> None:
    image = make_image(
        script(busybox, 'export FOUND="a b" LD_LIBRARY_PATH=/odd', "cd /etc", 'exec "$@"')
    )
    async with EventStreamRuntime(image, inject=inject, entrypoint="through") as runtime:
        assert await output(runtime, 'echo "$FOUND $LD_LIBRARY_PATH $PWD"') == "a b /odd /etc\n"
        done = await runtime.exec(["sh", "-c", 'echo "$FOUND"; cat /proc/1/comm'])
        assert done.stdout == b"a b\ntether-super\n"


async def test_what_the_entrypoint_reads_is_not_the_secret(
    make_image: MakeImage, busybox: str
) -> None:
    image = make_image(script(busybox, "timeout 1 cat >/tmp/read", 'exec "$@"'))
    async with EventStreamRuntime(image, inject="mount", entrypoint="through") as runtime:
        assert await output(runtime, "wc -c </tmp/read") == "0\n"


ORPHANS = """
for i in $(seq 1 100); do ( (sleep 0.01; exit $i) & ); done; sleep 1
cat /proc/[0-9]*/stat 2>/dev/null | grep -c ') Z '
"""


async def test_an_entrypoint_that_stays_the_first_process(
    make_image: MakeImage, busybox: str, tmp_path: Path
) -> None:
    """The supervisor is not the first: it still collects orphans, and ends in good order."""
    tmp_path.chmod(0o777)
    image = make_image(script(busybox, 'x=1 "$@"', 'echo "$?" >/out/code'))
    mounts = [f"{tmp_path}:/out"]
    runtime = EventStreamRuntime(image, inject="mount", entrypoint="through", mounts=mounts)
    async with runtime:
        assert await output(runtime, "cat /proc/1/comm; echo $x") == "entry\n1\n"
        assert await output(runtime, ORPHANS) == "0\n"
    assert (tmp_path / "code").read_text() == "0\n"


async def test_an_entrypoint_that_waits_for_it_in_the_background(
    make_image: MakeImage, busybox: str
) -> None:
    """A shell takes the standard input from what it starts so, and with it the secret."""
    image = make_image(script(busybox, '"$@" >/tmp/log 2>&1 &', "trap : TERM", "wait $!"))
    async with EventStreamRuntime(image, inject="mount", entrypoint="through") as runtime:
        assert await output(runtime, "cat /proc/1/comm") == "entry\n"


async def test_one_that_stays_is_stopped_by_who_attached_later(
    make_image: MakeImage, busybox: str, tmp_path: Path
) -> None:
    tmp_path.chmod(0o777)
    image = make_image(script(busybox, '"$@"', 'echo "$?" >/out/code'))
    options = {"entrypoint": "through", "mounts": [f"{tmp_path}:/out"], "inject": "mount"}
    async with EventStreamRuntime(image, keep=True, **options) as first:  # type: ignore[arg-type]
        await first.run(CmdRunAction(command="x=kept"))
    async with EventStreamRuntime.attach(first.name) as second:
        assert await output(second, "echo $x") == "kept\n"
        await second.close(keep=False)
    assert (tmp_path / "code").read_text() == "0\n"


async def test_a_restarted_one_gets_its_secret_again(
    make_image: MakeImage, busybox: str, find: Find
) -> None:
    image = make_image(script(busybox, "cat </dev/null", 'exec "$@"'))
    options = {"inject": "mount", "entrypoint": "through"}
    async with EventStreamRuntime(image, keep=True, **options) as runtime:  # type: ignore[arg-type]
        await asyncio.to_thread(find(runtime).restart, timeout=5)
        assert await output(runtime, "echo again") == "again\n"
        await runtime.close(keep=False)


async def test_an_image_without_an_entrypoint_has_nothing_to_go_through(busybox: str) -> None:
    async with EventStreamRuntime(busybox, inject="mount", entrypoint="through") as runtime:
        assert await output(runtime, "echo here") == "here\n"


@pytest.mark.parametrize(
    ("entrypoint", "seen"),
    [
        pytest.param('["sh", "-c", "echo begun; exec cat"]', "no answer within 3 s", id="stays"),
        pytest.param("echo begun; sleep 1000", "no answer within 3 s", id="shell form"),
        pytest.param('["sh", "-c", "echo begun; exit 3"]', "ended", id="ends"),
        pytest.param('["sh", "-c", "echo begun; exec /no/such"]', "not found", id="fails"),
    ],
)
async def test_an_entrypoint_that_does_not_run_its_arguments(
    make_image: MakeImage, busybox: str, entrypoint: str, seen: str
) -> None:
    """The same in a built image is a case of the odd images."""
    image = make_image(f"FROM {busybox}\nENTRYPOINT {entrypoint}")
    runtime = EventStreamRuntime(image, inject="mount", entrypoint="through", start_timeout_s=3)
    with pytest.raises(StartFailed) as caught:
        await runtime.start()
    text = str(caught.value)
    assert "did not run its arguments" in text
    assert "begun" in text
    assert seen in text
    assert "entrypoint='beside'" in caught.value.hint
    assert "entrypoint='skip'" in caught.value.hint
    assert runtime._spec.secret not in text


# --- beside ------------------------------------------------------------------------------------


async def test_the_entrypoint_runs_beside_with_its_command(
    make_image: MakeImage, busybox: str, inject: str
) -> None:
    image = make_image(script(busybox, 'echo "<$1> <$2> $X"; exit 7', more="ENV X=own"))
    async with EventStreamRuntime(image, inject=inject, entrypoint="beside") as runtime:
        ended = await event(runtime, EntrypointEnded)
        assert (ended.exit_code, ended.signal, ended.reason) == (7, None, "exit code 7")
        assert ended.output == "<a> <b c> own\n"
        assert ended.output_path is not None
        file = await runtime.run(FileReadAction(path=ended.output_path))
        assert file.content == ended.output
        started = await event(runtime, EntrypointStarted)
        assert (started.pid, started.output_path) == (ended.pid, ended.output_path)
        assert await output(runtime, "echo here") == "here\n"


async def test_a_signal_that_ends_it_is_told(make_image: MakeImage, busybox: str) -> None:
    image = make_image(script(busybox, "kill -SEGV $$"))
    async with EventStreamRuntime(image, inject="mount", entrypoint="beside") as runtime:
        ended = await event(runtime, EntrypointEnded)
        assert (ended.exit_code, ended.signal) == (128 + signal.SIGSEGV, signal.SIGSEGV)
        assert "SIGSEGV" in ended.reason


async def test_a_program_that_is_missing_is_told(make_image: MakeImage, busybox: str) -> None:
    image = make_image(f'FROM {busybox}\nENTRYPOINT ["/no/such"]')
    async with EventStreamRuntime(image, inject="mount", entrypoint="beside") as runtime:
        ended = await event(runtime, EntrypointEnded)
        assert (ended.pid, ended.exit_code) == (None, None)
        assert "No such file" in ended.reason
        assert await output(runtime, "echo here") == "here\n"


async def test_its_output_takes_no_more_room_than_it_may(
    make_image: MakeImage, busybox: str, find: Find
) -> None:
    image = make_image(script(busybox, "seq 1 1000000", "echo the end"))
    async with EventStreamRuntime(image, inject="mount", entrypoint="beside") as runtime:
        ended = await event(runtime, EntrypointEnded)
        assert ended.output.endswith("1000000\nthe end\n")
        kilobytes = int(
            (await output(runtime, f"du -ck {ended.output_path}* | tail -1")).split()[0]
        )
        assert kilobytes < 1200
        assert "999999" not in (await asyncio.to_thread(find(runtime).logs)).decode()


async def test_it_survives_the_client(make_image: MakeImage, busybox: str) -> None:
    image = make_image(script(busybox, "until [ -e /tmp/go ]; do sleep 0.1; done; exit 5"))
    async with EventStreamRuntime(image, inject="mount", entrypoint="beside") as runtime:
        started = await event(runtime, EntrypointStarted)
        client = await event(runtime, ClientStarted)
        kill = f"(sleep 0.5; kill -9 {client.pid}) >/dev/null 2>&1 &"
        await runtime.run(CmdRunAction(command=kill))
        async with asyncio.timeout(30):
            async for found in runtime.events.subscribe():
                if isinstance(found, ClientStarted) and found.pid != client.pid:
                    break
        assert await output(runtime, f"cat /proc/{started.pid}/comm; touch /tmp/go") == "entry\n"
        assert (await event(runtime, EntrypointEnded)).exit_code == 5


async def test_it_is_stopped_by_the_image_s_own_signal(
    make_image: MakeImage, busybox: str, tmp_path: Path
) -> None:
    tmp_path.chmod(0o777)
    lines = ("trap 'echo got it >/out/signal; exit' USR2", "echo up", "sleep 1000 & wait")
    image = make_image(script(busybox, *lines, more="STOPSIGNAL SIGUSR2"))
    options = {"inject": "mount", "entrypoint": "beside", "mounts": [f"{tmp_path}:/out"]}
    async with EventStreamRuntime(image, **options) as runtime:  # type: ignore[arg-type]
        started = await event(runtime, EntrypointStarted)
        up = f"until grep -q up {started.output_path}; do sleep 0.1; done"
        await runtime.run(CmdRunAction(command=up, timeout_s=30))
    assert (tmp_path / "signal").read_text() == "got it\n"


async def test_with_nothing_to_run_beside_that_is_said(make_image: MakeImage, busybox: str) -> None:
    image = make_image(f"FROM {busybox}\nCMD []")
    said: list[str] = []
    options = {"inject": "mount", "entrypoint": "beside", "progress": said.append}
    async with EventStreamRuntime(image, **options) as runtime:  # type: ignore[arg-type]
        assert await output(runtime, "echo here") == "here\n"
    assert any("nothing runs beside" in line for line in said)


# --- skip --------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop_signal", ["SIGKILL", "SIGWINCH", "SIGRTMIN+5"])
async def test_the_image_s_stop_signal_does_not_stop_the_client_badly(
    make_image: MakeImage, busybox: str, find: Find, client: docker.DockerClient, stop_signal: str
) -> None:
    image = make_image(f"FROM {busybox}\nSTOPSIGNAL {stop_signal}")
    async with EventStreamRuntime(image, inject="mount", keep=True) as runtime:
        container = find(runtime)
        await asyncio.to_thread(container.stop, timeout=20)
        assert (await asyncio.to_thread(container.wait))["StatusCode"] == 0
        assert client.images.get(image).attrs["Config"]["StopSignal"] == stop_signal
        await runtime.close(keep=False)


async def test_a_container_that_ends_at_once_is_told_as_that(busybox: str) -> None:
    """Here the client's own program is in the way of something else."""
    runtime = EventStreamRuntime(
        busybox, inject="mount", mounts=["/dev/null:/opt/tether/bin/python3"]
    )
    with pytest.raises(StartFailed, match="ended") as caught:
        await runtime.start()
    assert "Permission denied" in str(caught.value)


def test_a_way_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="no entrypoint 'over'; there are through, beside, skip"):
        EventStreamRuntime("image", entrypoint="over")
    with pytest.raises(ValueError, match="no inject 'copy'; there are build, mount"):
        EventStreamRuntime("image", inject="copy")


@pytest.mark.parametrize("option", [{"inject": "mount"}, {"entrypoint": "beside"}])
async def test_the_local_backend_has_no_image(option: dict[str, str]) -> None:
    with pytest.raises(StartFailed, match=next(iter(option))):
        await EventStreamRuntime(backend="local", **option).start()  # type: ignore[arg-type]


async def test_a_kept_one_says_how_it_runs(busybox: str) -> None:
    async with EventStreamRuntime(busybox, inject="mount", keep=True) as runtime:
        assert load_record(runtime.name).image == busybox
        await runtime.close(keep=False)
