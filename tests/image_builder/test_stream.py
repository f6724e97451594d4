from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tether_image_builder.models import BuildProgress
from tether_image_builder.stream import PullProgress, StepProgress, with_silence_limit


def test_steps_and_sizes_are_told() -> None:
    told: list[BuildProgress] = []
    progress = StepProgress("build", told.append)
    for line in ["Step 2/5 : COPY a b", " ---> Using cache", "size of all: 1.0 MB"]:
        progress.take(line)
    assert told == [
        BuildProgress("build", "COPY a b", 2, 5),
        BuildProgress("build", "size of all: 1.0 MB"),
    ]


def test_a_long_step_is_cut() -> None:
    told: list[BuildProgress] = []
    StepProgress("build", told.append).take(f"Step 1/1 : RUN {'x' * 200}")
    assert len(str(told[0])) == 61


def test_layers_of_a_pull_are_added_up() -> None:
    told: list[BuildProgress] = []
    progress = PullProgress("app", "pull", told.append)
    for layer, current in (("a", 1), ("b", 2), ("a", 5)):
        detail = {"current": current, "total": 10}
        progress.take({"status": "Downloading", "id": layer, "progressDetail": detail})
    progress.take({"status": "Pull complete", "id": "a", "progressDetail": {}})
    assert [(step.current, step.total) for step in told] == [(1, 10), (3, 20), (7, 20)]


@pytest.mark.parametrize("limit_s", [None, 5.0])
def test_lines_pass(limit_s: float | None) -> None:
    assert list(with_silence_limit(lambda: iter([1, 2, 3]), limit_s)) == [1, 2, 3]


def test_an_error_passes() -> None:
    def start() -> Iterator[int]:
        yield 1
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError, match="gone"):
        list(with_silence_limit(start, 5.0))


def test_silence_ends_it() -> None:
    over = threading.Event()

    def start() -> Iterator[int]:
        over.wait(60)
        yield from ()

    with pytest.raises(TimeoutError, match=r"no answer for 0\.05 seconds"):
        list(with_silence_limit(start, 0.05))
    over.set()
