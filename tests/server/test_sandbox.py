"""What surrounds the straight path: hostile peers, full disks, other users, servers that die."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tether_runtime_client.protocol import auth
from tether_runtime_client.protocol.limits import MAX_FRAME
from tether_server import (
    ActionLost,
    CmdOutputObservation,
    CmdRunAction,
    EventStreamRuntime,
    FileMissing,
    FileReadAction,
    ImageNotFound,
    PathIsADirectory,
    StartFailed,
    Unauthorized,
)
from tether_server.link import Link
from tether_server.record import list_records, sandbox_folder
from tether_server.transports import UnixTransport

from .conftest import MakeRuntime

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can do this")


@pytest.fixture
async def local() -> AsyncIterator[EventStreamRuntime]:
    async with EventStreamRuntime(backend="local") as runtime:
        yield runtime


def way_to(runtime: EventStreamRuntime) -> UnixTransport:
    return UnixTransport(sandbox_folder(runtime.name) / "socket" / "client.sock")


async def websocket_to(runtime: EventStreamRuntime) -> ClientConnection:
    connection = await way_to(runtime).connect()
    return await connect("ws://sandbox/events", sock=connection, compression=None)


async def still_works(runtime: EventStreamRuntime) -> None:
    seen = await runtime.run(CmdRunAction(command="echo still here"))
    assert (seen.exit_code, seen.content) == (0, "still here\n")


# --- hostile peers -----------------------------------------------------------------------------


GARBAGE = [
    "not json",
    "[]",
    "null",
    '{"type":"hello"}',
    '{"type":"hello","version":1,"nonce":"zz"}',
    '{"type":"hello","version":99,"nonce":"' + "0" * 32 + '"}',
    '{"type":"submit","id":"x","action":{"action":"run","command":"touch /tmp/never"}}',
    '{"type":"welcome","epoch":"x","fence":1,"epochs":[]}',
    "[" * 10_000,
    '{"type":"' + "x" * 100_000 + '"}',
]


@pytest.mark.parametrize("text", GARBAGE, ids=range(len(GARBAGE)))
async def test_garbage_gets_a_precise_error(local: EventStreamRuntime, text: str) -> None:
    async with await websocket_to(local) as peer:
        await peer.send(text)
        answer = json.loads(await peer.recv())
        assert answer["type"] == "error"
        assert answer["code"] in {"malformed_frame", "version_mismatch", "unexpected_frame"}
        assert answer["message"]
        with pytest.raises(ConnectionClosed):
            await peer.recv()
    await still_works(local)


async def test_a_frame_over_the_limit_is_refused(local: EventStreamRuntime) -> None:
    peer = await websocket_to(local)
    sending = asyncio.create_task(peer.send("x" * (MAX_FRAME + 1)))
    with pytest.raises(ConnectionClosed) as closed:
        await peer.recv()
    await asyncio.gather(sending, return_exceptions=True)
    await peer.wait_closed()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009
    await still_works(local)


async def test_bytes_that_are_no_websocket_do_no_harm(local: EventStreamRuntime) -> None:
    for garbage in (b"\0" * 70_000, b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-x\r\n", os.urandom(5000)):
        reader, writer = await asyncio.open_unix_connection(sock=await way_to(local).connect())
        writer.write(garbage)
        await asyncio.wait_for(reader.read(), 20)
        writer.close()
    await still_works(local)


async def test_a_wrong_secret_is_refused(local: EventStreamRuntime) -> None:
    [record] = list_records()

    class Nobody:
        def progress(self) -> dict[str, int]:
            return {}

        def newest(self) -> None:
            return None

    async def alive() -> None:
        return None

    link = Link(way_to(local), auth.new_secret, Nobody(), alive)  # type: ignore[arg-type]
    with pytest.raises(Unauthorized):
        await link.start()
    await link.close()
    assert record.secret not in repr(record)
    await still_works(local)


# --- errors ------------------------------------------------------------------------------------


async def test_paths_that_cannot_be_read(make_runtime: MakeRuntime) -> None:
    async with make_runtime() as runtime:
        with pytest.raises(FileMissing):
            await runtime.run(FileReadAction(path="/no/such"))
        with pytest.raises(PathIsADirectory):
            await runtime.run(FileReadAction(path="/tmp"))
        await still_works(runtime)


async def test_options_that_the_local_backend_has_not() -> None:
    with pytest.raises(StartFailed, match="network"):
        await EventStreamRuntime(backend="local", network="none").start()
    assert not list_records()


@pytest.mark.engine
async def test_an_image_that_is_nowhere(engine: str) -> None:
    with pytest.raises(ImageNotFound):
        await EventStreamRuntime("localhost:1/no/such:image").start()
    assert not list_records()


@pytest.mark.engine
async def test_a_client_that_does_not_come_up_shows_its_log(debian: str) -> None:
    with pytest.raises(StartFailed) as caught:
        await EventStreamRuntime(debian, workdir="/etc/passwd").start()
    assert caught.value.hint
    assert not list_records()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


@needs_root
async def test_a_full_disk_while_output_spills(local: EventStreamRuntime, small_disk: Path) -> None:
    """The byte log cannot be whole; the command goes on, and is reported with what there is."""
    output = sandbox_folder(local.name) / "run" / "state" / "output"
    output.symlink_to(small_disk)
    seen = await local.run(CmdRunAction(command="seq 1 400000; echo end"))
    assert (seen.exit_code, seen.truncated) == (0, True)
    assert seen.content.startswith("1\n2\n")
    assert seen.content.endswith("400000\nend\n")
    assert seen.full_output_path is None
    await still_works(local)


# --- other users -------------------------------------------------------------------------------


@pytest.mark.engine
@pytest.mark.parametrize("transport", ["auto", "tcp", "exec"])
async def test_a_container_of_another_user(debian: str, transport: str) -> None:
    async with EventStreamRuntime(debian, user="4321:4321", transport=transport) as runtime:
        seen = await runtime.run(CmdRunAction(command="id -u; cat /proc/1/status | grep ^Uid"))
        assert seen.content.split()[0] == "4321"
        await still_works(runtime)


SERVER_OF_ANOTHER_USER = """
import asyncio, os, sys
import docker, docker.errors, requests.exceptions, tether_image_builder.build, http.client
from tether_server import CmdRunAction, EventStreamRuntime
from tether_server.backends.docker import DockerBackend
os.setgroups([os.stat("/var/run/docker.sock").st_gid])
os.setgid(65534)
os.setuid(65534)
async def main():
    async with EventStreamRuntime(sys.argv[1], user="4321") as runtime:
        seen = await runtime.run(CmdRunAction(command="id -u"))
        print(runtime.connection.split(":")[0], seen.content, end="")
asyncio.run(main())
"""


@needs_root
@pytest.mark.engine
def test_a_server_that_is_not_root(debian: str, tmp_path: Path) -> None:
    """They share the socket's folder, though neither may write the other's files."""
    asyncio.run(_build(debian))
    state = Path("/tmp") / f"tether-test-{os.getpid()}"
    state.mkdir(mode=0o700)
    os.chown(state, 65534, 65534)
    try:
        done = subprocess.run(
            [sys.executable, "-c", SERVER_OF_ANOTHER_USER, debian],
            env={**os.environ, "TETHER_STATE_DIR": str(state), "HOME": str(state)},
            capture_output=True,
            text=True,
            cwd="/",
            timeout=100,
        )
        assert done.stdout == "unix 4321\n", done.stderr
        assert not list(state.glob("sandboxes/*/socket"))
    finally:
        subprocess.run(["rm", "-rf", state], check=True)


async def _build(image: str) -> None:
    async with EventStreamRuntime(image):
        pass


# --- the first process of a container ----------------------------------------------------------


STORM = r"""
for i in $(seq 1 500); do
  ( ( sleep 0.0$((i % 7)); exit $((i % 256)) ) & ) ; ( exit $((i % 256)) ); c=$?
  [ $c = $((i % 256)) ] || echo "wrong: $i $c"
done
echo done
"""


@pytest.mark.engine
async def test_the_first_process_reaps_orphans_and_only_them(debian: str) -> None:
    """Exit codes stay right while orphans end by the hundred, and no zombie is left."""
    async with EventStreamRuntime(debian) as runtime:
        storms = [runtime.run(CmdRunAction(command=STORM, session=name)) for name in ("one", "two")]
        codes = [runtime.exec(["sh", "-c", f"exit {n % 256}"]) for n in range(200)]
        seen = await asyncio.gather(*storms)
        assert [s.content for s in seen] == ["done\n", "done\n"]
        assert [(await code).exit_code for code in codes] == [n % 256 for n in range(200)]
        seen = await runtime.run(
            CmdRunAction(command="sleep 0.3; grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null")
        )
        assert seen.content == ""


@pytest.mark.engine
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_process_obeys_signals(debian: str, number: signal.Signals) -> None:
    import docker

    async with EventStreamRuntime(debian, keep=True) as runtime:
        [record] = list_records()
        client = await asyncio.to_thread(docker.from_env)
        try:
            container = client.containers.get(record.handle["container"])
            await asyncio.to_thread(container.kill, int(number))
            ended = await asyncio.to_thread(container.wait, timeout=30)
            assert ended["StatusCode"] == 0
        finally:
            client.close()
        await runtime.close(keep=False)
    assert not list_records()


# --- servers that die --------------------------------------------------------------------------


DYING_SERVER = """
import asyncio, os, signal, sys
from tether_server import CmdRunAction, EventStreamRuntime
async def main():
    image = sys.argv[1] or None
    backend = "docker" if image else "local"
    async with EventStreamRuntime(image, backend=backend, name=sys.argv[2], lease_s=2) as runtime:
        await runtime.run(CmdRunAction(command="sleep 1000 & echo $!"))
        os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""


def die(image: str, name: str) -> None:
    died = subprocess.run([sys.executable, "-c", DYING_SERVER, image, name], timeout=100)
    assert died.returncode == -signal.SIGKILL


async def test_a_local_sandbox_ends_itself_after_its_lease() -> None:
    await asyncio.to_thread(die, "", "leased")
    [record] = list_records()
    pid = int(record.handle["pid"])
    descriptor = os.pidfd_open(pid)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(descriptor, ended.set)
    await asyncio.wait_for(ended.wait(), 30)
    asyncio.get_running_loop().remove_reader(descriptor)
    os.close(descriptor)


@pytest.mark.engine
async def test_a_container_ends_itself_after_its_lease(debian: str) -> None:
    import docker
    import docker.errors

    await asyncio.to_thread(die, debian, "leased-container")
    [record] = list_records()
    client = await asyncio.to_thread(docker.from_env)
    try:
        container = client.containers.get(record.handle["container"])
        await asyncio.to_thread(container.wait, condition="removed", timeout=60)
    except docker.errors.NotFound:
        pass  # it was quicker than we were
    finally:
        client.close()


@pytest.mark.engine
async def test_a_restarted_container_is_found_again(debian: str) -> None:
    import docker

    async with EventStreamRuntime(debian, keep=True) as runtime:
        [record] = list_records()
        client = await asyncio.to_thread(docker.from_env)
        try:
            running = asyncio.create_task(
                runtime.run(CmdRunAction(command="echo begun; sleep 1000"), id="during")
            )
            async with asyncio.timeout(20):
                async for event in runtime.events.subscribe():
                    if getattr(event, "content", "") == "begun\n":
                        break
            container = client.containers.get(record.handle["container"])
            await asyncio.to_thread(container.restart, timeout=5)
        finally:
            client.close()
        with pytest.raises((ActionLost, Exception)) as caught:
            await asyncio.wait_for(running, 60)
        assert getattr(caught.value, "code", "") in {"action_lost", "action_cancelled"}
        await still_works(runtime)
        events = list(runtime.events.since(0))
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert not [
            e for e in events if isinstance(e, CmdOutputObservation) and e.action_id == "during"
        ]
        await runtime.close(keep=False)


async def test_of_this_machine_s_environment_a_terminal_s_size_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("LINES", "COLUMNS", "OTHER"):
        monkeypatch.setenv(name, "77")
    asked = CmdRunAction(command='env | grep -E "^(LINES|COLUMNS|OTHER)="')
    async with EventStreamRuntime(backend="local") as runtime:
        assert (await runtime.run(asked)).content == "OTHER=77\n"
    async with EventStreamRuntime(backend="local", env={"COLUMNS": "120"}) as runtime:
        assert (await runtime.exec(["printenv", "COLUMNS"])).stdout == b"120\n"


@pytest.mark.engine
async def test_the_image_keeps_its_environment(debian: str) -> None:
    """What would break our own Python is kept from it, and is there in the sessions."""
    odd = {"LD_LIBRARY_PATH": "/odd", "PYTHONHOME": "/odd", "LD_PRELOAD": "/odd.so"}
    async with EventStreamRuntime(debian, env=odd) as runtime:
        names = "$LD_LIBRARY_PATH $PYTHONHOME $LD_PRELOAD"
        seen = await runtime.run(CmdRunAction(command=f"echo {names}; env | grep -c TETHER_ENV"))
        assert "/odd /odd /odd.so\n" in seen.content
        assert seen.content.rstrip().endswith("0")


@pytest.mark.engine
async def test_what_is_named_python_is_the_image_s(busybox: str) -> None:
    """An agent ends its own programs by name."""
    async with EventStreamRuntime(busybox, inject="mount") as runtime:
        seen = await runtime.run(CmdRunAction(command="cat /proc/[0-9]*/comm"))
        assert "tether-super" in seen.content
        assert "python" not in seen.content


@pytest.mark.engine
async def test_no_network_is_needed(debian: str) -> None:
    async with EventStreamRuntime(debian, network="none") as runtime:
        seen = await runtime.run(CmdRunAction(command="ls /sys/class/net"))
        assert seen.content == "lo\n"


def test_a_socket_is_not_followed_through_a_link(tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "real"))
    listener.listen()
    (tmp_path / "client.sock").symlink_to(tmp_path / "real")
    with listener, pytest.raises(OSError, match=r"not a socket|Too many levels"):
        asyncio.run(UnixTransport(tmp_path / "client.sock").connect())
