"""Searches and watches through a runtime: with asyncio and without, over broken connections."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from pydantic import ValidationError

from tether_server import (
    ErrorObservation,
    Event,
    EventStreamRuntime,
    FileReadAction,
    FilesChanged,
    FileStatAction,
    FileWatchAction,
    FileWatchObservation,
    FileWriteAction,
    FindFilesAction,
    GrepAction,
    SyncEventStreamRuntime,
    UnexpectedFrame,
    WatchReady,
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "place"
    folder.mkdir()
    (folder / "a.txt").write_text("one\ntwo\n")
    return folder


def test_without_asyncio(place: Path) -> None:
    with SyncEventStreamRuntime(backend="local") as runtime:
        assert runtime.run(FileStatAction(path=f"{place}/a.txt")).size == 8
        assert runtime.run(FindFilesAction(path=str(place))).entries[0].path == "a.txt"
        assert runtime.run(GrepAction(path=str(place), pattern="tw.")).matches[0].line == 2
        for event in runtime.watch(str(place)):
            if isinstance(event, FilesChanged):
                assert event.changes[0].path == "new"
                break
            assert isinstance(event, WatchReady)
            (place / "new").mkdir()
        assert runtime.run(FileWatchAction(path=str(place), timeout_s=0)).ended == "timeout"


async def test_an_answer_to_something_else_is_none(place: Path) -> None:
    """A sandbox says what comes back: here by an id that it has already answered."""
    path = f"{place}/a.txt"
    async with EventStreamRuntime(backend="local") as runtime:
        await runtime.run(FileStatAction(path=path), id="mine")
        with pytest.raises(UnexpectedFrame, match="GrepAction is a FileStatObservation"):
            await runtime.run(GrepAction(path=path, pattern="one"), id="mine")
        with pytest.raises(UnexpectedFrame):
            _ = [each async for each in runtime.stream(GrepAction(pattern="one"), id="mine")]
        assert (await runtime.run(FileStatAction(path=path), id="mine")).size == 8


async def test_a_watch_goes_on_over_a_broken_connection(place: Path) -> None:
    seen: list[str] = []
    async with (
        EventStreamRuntime(backend="local") as runtime,
        aclosing(runtime.watch(str(place))) as events,
    ):
        await anext(events)
        for number in range(5):
            runtime.cut_connection()
            (place / str(number)).mkdir()
            async with asyncio.timeout(30):
                while str(number) not in seen:
                    event = await anext(events)
                    assert isinstance(event, FilesChanged)
                    seen += [change.path for change in event.changes]
    assert seen == [str(number) for number in range(5)]


async def test_leaving_a_watch_ends_it(place: Path) -> None:
    async with EventStreamRuntime(backend="local") as runtime:
        async with aclosing(runtime.watch(str(place))) as events:
            ready = await anext(events)
        ends = [
            event
            async for event in _until_end(runtime, ready.action_id or "")
            if isinstance(event, ErrorObservation)
        ]
        assert [end.code for end in ends] == ["action_cancelled"]
        descriptors = Path(f"/proc/{_client(runtime)}/fd")
        assert not [fd for fd in os.listdir(descriptors) if _is_inotify(descriptors / fd)]


async def test_a_stream_of_a_watch_has_its_observation(place: Path) -> None:
    async with EventStreamRuntime(backend="local") as runtime:
        action = FileWatchAction(path=str(place), timeout_s=0.1)
        shown = [event async for event in runtime.stream(action)]
    assert [type(event) for event in shown] == [FileWatchObservation]


@pytest.mark.parametrize(
    "fields",
    [
        {"binary": True, "start_line": 1},
        {"binary": True, "encoding": "latin-1"},
        {"offset": 1},
        {"length": 1},
        {"binary": True, "length": 0},
        {"encoding": "../x"},
    ],
)
def test_readings_that_mean_nothing(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        FileReadAction.model_validate({"path": "x", **fields})


def test_writings_that_mean_nothing() -> None:
    with pytest.raises(ValidationError):
        FileWriteAction(path="x", data=b"x", encoding="latin-1")


async def _until_end(runtime: EventStreamRuntime, action_id: str) -> AsyncIterator[Event]:
    async with asyncio.timeout(20):
        async for event in runtime.events.subscribe(0, action_id=action_id):
            yield event
            if isinstance(event, ErrorObservation):
                return


def _client(runtime: EventStreamRuntime) -> int:
    return next(pid for event in runtime.events.since(0) if (pid := getattr(event, "pid", 0)))


def _is_inotify(path: Path) -> bool:
    try:
        return "inotify" in str(path.readlink())
    except FileNotFoundError:
        return False
