"""What waits in another thread ends when it is to."""

from __future__ import annotations

import threading
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import docker
import pytest

from tether_image_builder import BuildProgress
from tether_image_builder.context import context_archive
from tether_image_builder.engine import connected
from tether_image_builder.locks import held
from tether_image_builder.stopping import Stop, Stopped


def test_whoever_waits_is_woken() -> None:
    stop, queue = Stop(), SimpleQueue[Any]()
    with stop.wakes(queue):
        stop.set()
        stop.set()
    assert isinstance(queue.get_nowait(), Stopped)
    assert queue.empty()
    with pytest.raises(Stopped), stop.wakes(queue):
        pass


def test_who_does_not_wait_any_more_is_not_woken() -> None:
    stop, queue = Stop(), SimpleQueue[Any]()
    with stop.wakes(queue):
        pass
    stop.set()
    assert queue.empty()


def test_waiting_for_a_lock_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TETHER_CACHE_DIR", str(tmp_path))
    stop, waits, ended = Stop(), threading.Event(), SimpleQueue[Any]()

    def work() -> None:
        try:
            with held("a", on_wait=waits.set, stop=stop):
                ended.put("held")
        except Stopped as problem:
            ended.put(problem)

    with held("a"):
        threading.Thread(target=work).start()
        assert waits.wait(10)
        stop.set()
        assert isinstance(ended.get(timeout=10), Stopped)
    with held("a"):  # nobody has it in its place
        pass


def test_a_lock_that_comes_free_is_held(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TETHER_CACHE_DIR", str(tmp_path))
    waits, order = threading.Event(), SimpleQueue[str]()

    def work() -> None:
        with held("a", on_wait=waits.set, stop=Stop()):
            order.put("second")

    thread = threading.Thread(target=work)
    with held("a"):
        thread.start()
        assert waits.wait(10)
        order.put("first")
    thread.join(10)
    assert [order.get(timeout=10), order.get(timeout=10)] == ["first", "second"]


@pytest.mark.engine
def test_a_build_ends_and_leaves_nothing(client: docker.DockerClient, busybox: str) -> None:
    stop = Stop()
    text = f"FROM {busybox}\nLABEL tether.stage=stopped\nRUN echo size of it; sleep 300\n"
    context = context_archive({"Dockerfile": text.encode()})

    def report(progress: BuildProgress) -> None:
        if progress.message == "size of it":
            stop.set()

    with connected(client) as engine, pytest.raises(Stopped):
        engine.stopped_by(stop).build(context, tag="tether-test/x:1", report=report, phase="build")
    assert client.api.images(all=True, filters={"label": "tether.stage=stopped"}) == []
