"""The runtime without asyncio: real local sandboxes, real signals, real threads."""

from __future__ import annotations

import asyncio
import inspect
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_type_hints

import pytest

from tether_server import (
    CmdInterruptAction,
    CmdOutputDelta,
    CmdOutputObservation,
    CmdRunAction,
    EventStreamRuntime,
    RuntimeClosed,
    SandboxNotFound,
)
from tether_server.backends.local import LocalSandbox
from tether_server.loop_thread import LoopThread
from tether_server.record import list_records, load_record
from tether_server.sync import RuntimeOptions, SyncEventStreamRuntime

WAIT_S = 30.0


@pytest.fixture
def runtime() -> Iterator[SyncEventStreamRuntime]:
    with SyncEventStreamRuntime(backend="local") as runtime:
        yield runtime


def supervisor(runtime: SyncEventStreamRuntime) -> int:
    """A descriptor that is readable once the sandbox's main process is gone."""
    return os.pidfd_open(int(load_record(runtime.name).handle["pid"]))


def gone(pidfd: int) -> bool:
    readable, _, _ = select.select([pidfd], [], [], WAIT_S)
    os.close(pidfd)
    return bool(readable)


def tether_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("runtime ")]


def interrupt_when(condition: Callable[[], object]) -> threading.Thread:
    """Send this process a Ctrl-C once `condition()` is true, and none if it turns out not to be."""

    def wait_and_interrupt() -> None:
        if condition():
            interrupt()

    thread = threading.Thread(target=wait_and_interrupt)
    thread.start()
    return thread


def interrupt() -> None:
    main_thread = threading.main_thread().ident
    assert main_thread is not None
    signal.pthread_kill(main_thread, signal.SIGINT)


def first_output(runtime: SyncEventStreamRuntime) -> CmdOutputDelta:
    return next(e for e in runtime.events.subscribe() if isinstance(e, CmdOutputDelta))


# --- the same as the async class


def test_has_the_methods_of_the_async_class() -> None:
    def public(kind: type) -> dict[str, list[str]]:
        names = {n for n in dir(kind) if not n.startswith("_")} - {"sync", "attach", "name"}
        members = {n: inspect.getattr_static(kind, n) for n in names}
        return {
            n: list(inspect.signature(m).parameters) if inspect.isfunction(m) else []
            for n, m in members.items()
        }

    assert public(SyncEventStreamRuntime) == public(EventStreamRuntime)


def test_takes_the_options_of_the_async_class() -> None:
    parameters = inspect.signature(EventStreamRuntime, eval_str=True).parameters.values()
    expected = {p.name: p.annotation for p in parameters if p.kind is p.KEYWORD_ONLY}
    assert get_type_hints(RuntimeOptions) == expected


def test_keeps_state_between_commands(runtime: SyncEventStreamRuntime) -> None:
    runtime.run(CmdRunAction(command="cd / && export X=1"))
    observation = runtime.run(CmdRunAction(command='echo "$X $PWD"'))
    assert (observation.exit_code, observation.content) == (0, "1 /\n")
    assert runtime.connection.startswith("unix: ")


def test_sync_makes_one() -> None:
    with EventStreamRuntime.sync(backend="local", name="made-by-sync") as runtime:
        assert isinstance(runtime, SyncEventStreamRuntime)
        assert runtime.name == "made-by-sync"


def test_stream_yields_deltas_then_the_observation(runtime: SyncEventStreamRuntime) -> None:
    *deltas, last = runtime.stream(CmdRunAction(command="echo a; sleep 0.05; echo b"))
    assert "".join(d.content for d in deltas if isinstance(d, CmdOutputDelta)) == "a\nb\n"
    assert isinstance(last, CmdOutputObservation)
    assert last.exit_code == 0


def test_a_stream_can_be_left_early(runtime: SyncEventStreamRuntime) -> None:
    for event in runtime.stream(CmdRunAction(command="echo early; sleep 100")):
        assert isinstance(event, CmdOutputDelta)
        break
    assert runtime.run(CmdInterruptAction()).exit_code == 130
    assert runtime.run(CmdRunAction(command="echo on")).content == "on\n"


def test_history_is_typed_and_outlives_the_runtime(runtime: SyncEventStreamRuntime) -> None:
    runtime.run(CmdRunAction(command="true"))
    runtime.close()
    events = list(runtime.events.since(0))
    assert [e.seq for e in events] == list(range(1, len(events) + 1))
    assert any(isinstance(e, CmdOutputObservation) for e in events)
    assert list(runtime.events.since(runtime.events.last_seq)) == []


def test_a_subscription_ends_with_the_runtime(runtime: SyncEventStreamRuntime) -> None:
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(list, runtime.events.subscribe())
        runtime.run(CmdRunAction(command="echo hello"))
        runtime.close()
        assert len(reading.result(WAIT_S)) > 0


def test_attach_returns_to_a_kept_sandbox() -> None:
    with SyncEventStreamRuntime(backend="local", keep=True) as runtime:
        runtime.run(CmdRunAction(command="export KEPT=yes"))
    with SyncEventStreamRuntime.attach(runtime.name) as again:
        assert again.run(CmdRunAction(command="echo $KEPT")).content == "yes\n"
        exports = [e for e in again.events.since(0) if "KEPT=yes" in e.model_dump_json()]
        assert exports
        again.close(keep=False)
    with pytest.raises(SandboxNotFound):
        load_record(runtime.name)


def test_a_connection_can_be_cut_for_a_drill(runtime: SyncEventStreamRuntime) -> None:
    runtime.cut_connection()
    assert runtime.run(CmdRunAction(command="echo back")).content == "back\n"


# --- lifetime


def test_leaving_the_block_frees_everything() -> None:
    with SyncEventStreamRuntime(backend="local") as runtime:
        main_process = supervisor(runtime)
    assert gone(main_process)
    assert list_records() == []
    assert tether_threads() == []
    runtime.close()


def test_a_failed_start_frees_everything() -> None:
    with (
        pytest.raises(Exception, match=r"there is no folder"),
        SyncEventStreamRuntime(backend="local", workdir="/does/not/exist"),
    ):
        pass
    assert list_records() == []
    assert tether_threads() == []


def test_use_before_start_and_after_close_is_refused() -> None:
    runtime = SyncEventStreamRuntime(backend="local")
    with pytest.raises(RuntimeClosed):
        runtime.run(CmdRunAction(command="true"))
    runtime.close()
    with runtime:
        pass
    with pytest.raises(RuntimeClosed):
        runtime.run(CmdRunAction(command="true"))
    with pytest.raises(RuntimeClosed):
        runtime.start()


def test_a_forgotten_runtime_warns_and_is_closed_all_the_same() -> None:
    runtime = SyncEventStreamRuntime(backend="local", name="forgotten")
    runtime.start()
    main_process = supervisor(runtime)
    holder = [runtime]
    del runtime
    with pytest.warns(ResourceWarning, match="'forgotten' was not closed"):
        holder.clear()
    assert gone(main_process)


FORGETFUL = """
from tether_server import SyncEventStreamRuntime
runtime = SyncEventStreamRuntime(backend="local", name="left")
runtime.start()
"""


def test_the_end_of_the_process_closes_what_nobody_closed(state_dir: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", FORGETFUL],
        env={**os.environ, "TETHER_STATE_DIR": str(state_dir)},
        capture_output=True,
        timeout=WAIT_S * 2,
        check=True,
    )
    assert list_records() == []
    assert b"'left' was not closed" in done.stderr


# --- threads


def test_two_threads_run_side_by_side(runtime: SyncEventStreamRuntime, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with ThreadPoolExecutor(2) as pool:
        reader = pool.submit(runtime.run, CmdRunAction(command=f"cat {fifo}", session="r"))
        writer = pool.submit(runtime.run, CmdRunAction(command=f"echo met >{fifo}", session="w"))
        assert writer.result(WAIT_S).exit_code == 0
        assert reader.result(WAIT_S).content == "met\n"


def test_closing_in_one_thread_answers_the_others(runtime: SyncEventStreamRuntime) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(runtime.run, CmdRunAction(command="echo on; sleep 100"))
        first_output(runtime)
        runtime.close()
        with pytest.raises(RuntimeClosed):
            waiting.result(WAIT_S)


def test_a_call_from_its_own_loop_is_refused() -> None:
    async def nothing() -> None:
        """Do nothing."""

    async def call_back() -> None:
        thread.call(nothing)

    thread = LoopThread("tether test", nothing)
    with pytest.raises(RuntimeError, match="own event loop"):
        thread.call(call_back)
    thread.finish(nothing)
    with pytest.raises(RuntimeClosed):
        thread.call(nothing)


# --- Ctrl-C


@pytest.mark.serial
def test_an_interrupted_call_leaves_the_runtime_usable(runtime: SyncEventStreamRuntime) -> None:
    interrupter = interrupt_when(lambda: first_output(runtime))
    with pytest.raises(KeyboardInterrupt):
        runtime.run(CmdRunAction(command="echo on; sleep 100"))
    interrupter.join()
    assert runtime.run(CmdInterruptAction()).exit_code == 130
    assert runtime.run(CmdRunAction(command="echo still")).content == "still\n"


@pytest.mark.serial
def test_an_interrupted_stream_leaves_the_runtime_usable(runtime: SyncEventStreamRuntime) -> None:
    interrupter = interrupt_when(lambda: first_output(runtime))
    with pytest.raises(KeyboardInterrupt):
        for _ in runtime.stream(CmdRunAction(command="echo on; sleep 100")):
            pass
    interrupter.join()
    assert runtime.run(CmdInterruptAction()).exit_code == 130


def test_transfers_with_their_options(runtime: SyncEventStreamRuntime, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_text("content")
    (tmp_path / "tree" / "link").symlink_to("/etc/hosts")
    there = str(tmp_path / "there")
    seen = runtime.upload(tmp_path / "tree", there, links="keep")
    assert [(note.path, note.copied) for note in seen.notes] == [("link", True)]
    calls: list[int] = []
    runtime.download(
        there, tmp_path / "back", exclude="link", progress=lambda done, total: calls.append(done)
    )
    assert os.listdir(tmp_path / "back") == ["file"]
    assert calls[-1] > 0
    with SyncEventStreamRuntime(backend="local") as other:
        runtime.copy_to(there, other, str(tmp_path / "other"), links="skip")
        assert os.listdir(tmp_path / "other") == ["file"]
        assert other.exec(["true"]).exit_code == 0, "its own server goes on"
    runtime.copy_to(f"{there}/file", runtime, str(tmp_path / "again"))
    assert (tmp_path / "again").read_text() == "content"


def test_a_process_without_asyncio() -> None:
    with SyncEventStreamRuntime(backend="local") as runtime:
        with runtime.spawn("cat; echo err >&2; exit 3", stdin=True) as process:
            process.stdin.write(b"one\ntwo\n")
            assert process.stdout.readline() == b"one\n"
            process.stdin.close()
            assert list(process.stdout) == [b"two\n"]
            assert (process.stderr.read(), process.wait(30), process.exit_code) == (b"err\n", 3, 3)
        with runtime.spawn("echo on; exec sleep 1000", detach=True) as process:
            assert next(process.merged()) == ("stdout", b"on\n")
            with pytest.raises(TimeoutError):
                process.wait(0.05)
        found = runtime.process(process.id)
        assert [entry.exit_code for entry in runtime.processes()] == [3, None]
        found.terminate()
        assert (found.wait(), found.signal) == (143, 15)
        assert runtime.spawn(["cat"], stdin=True).communicate(b"all") == (b"all", b"")
        terminal = runtime.spawn("stty size", tty=True, size=(3, 4))
        assert terminal.stdout.read() == b"3 4\r\n"


class SlowStart:
    """Makes the next local sandbox come up and never say so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = threading.Event()
        self.stopping = threading.Event()
        self.may_stop = threading.Event()
        stop = LocalSandbox.stop

        async def ready(_: LocalSandbox) -> None:
            self.begun.set()
            await asyncio.get_running_loop().create_future()

        async def slow_stop(sandbox: LocalSandbox) -> None:
            self.stopping.set()
            await asyncio.to_thread(self.may_stop.wait, WAIT_S)
            await stop(sandbox)

        monkeypatch.setattr(LocalSandbox, "ready", ready)
        monkeypatch.setattr(LocalSandbox, "stop", slow_stop)


@pytest.mark.serial
def test_an_interrupted_start_frees_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = SlowStart(monkeypatch)
    slow.may_stop.set()
    interrupter = interrupt_when(lambda: slow.begun.wait(WAIT_S))
    runtime = SyncEventStreamRuntime(backend="local")
    with pytest.raises(KeyboardInterrupt):
        runtime.start()
    interrupter.join()
    assert list_records() == []
    assert tether_threads() == []


@pytest.mark.serial
def test_a_second_interrupt_does_not_stop_the_clean_up(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = SlowStart(monkeypatch)
    runtime = SyncEventStreamRuntime(backend="local", name="slow")

    def interrupted_once() -> bool:
        slow.begun.wait(WAIT_S)
        interrupt()
        return slow.stopping.wait(WAIT_S)

    interrupter = interrupt_when(interrupted_once)
    with pytest.raises(KeyboardInterrupt):
        runtime.start()
    interrupter.join()
    main_process = supervisor(runtime)
    slow.may_stop.set()
    runtime.close()
    assert gone(main_process)
    assert list_records() == []
