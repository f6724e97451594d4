"""Several plugins at once: who says what, what an error ends, and what an interruption does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

import pytest

from tether_image_builder.engine import Engine
from tether_image_builder.models import BuildOptions, BuildProgress, ProgressReport
from tether_image_builder.plugins.image import MadePlugins
from tether_image_builder.plugins.side_by_side import AT_ONCE, ensure_all
from tether_image_builder.plugins.source import PluginSource
from tether_image_builder.stopping import Stopped

Does = Callable[[Engine, ProgressReport], None]

ENGINE: Any = Engine(None, "linux/amd64")  # type: ignore[arg-type]


@dataclass
class Recipe:
    """Stands for that of a plugin; `does` is what making it comes to."""

    name: str
    does: Does = lambda engine, report: None
    there: bool = False
    made: list[str] = field(default_factory=list)

    @property
    def tag(self) -> str:
        """Its image."""
        return self.name

    @property
    def source(self) -> PluginSource:
        """What it is called."""
        return PluginSource(self.name, self.name, {})

    def find(self, _: Engine) -> tuple[()] | None:
        """Whether it is there."""
        return () if self.there else None

    environment: Any = None

    def ensure(self, engine: Engine, report: ProgressReport, *_: object) -> MadePlugins:
        """Makes it."""
        self.does(engine, report)
        return MadePlugins((), False, 1.0, frozenset((self.name,)))


def ensured(*recipes: Recipe, report: ProgressReport | None = None) -> list[MadePlugins]:
    many: Any = recipes
    return list(ensure_all(ENGINE, many, report or (lambda _: None), BuildOptions()))


def until_stopped(engine: Engine, _: ProgressReport) -> None:
    """Waits as a build does."""
    waits = SimpleQueue[Any]()
    assert engine.stop is not None
    with engine.stop.wakes(waits):
        raise waits.get(timeout=30)


def failing(problem: BaseException) -> Does:
    def fail(*_: object) -> None:
        raise problem

    return fail


def test_those_that_are_missing_are_made_and_all_given_in_their_order() -> None:
    recipes = [Recipe(name, there=name == "b") for name in "abcdef"]
    found = ensured(*recipes)
    assert [bool(each.needs_made) for each in found] == [name != "b" for name in "abcdef"]
    assert [each.needs_made for each in found[2:]] == [{name} for name in "cdef"]


def test_never_more_than_so_many_at_once() -> None:
    together = threading.Barrier(AT_ONCE)
    at_work: list[int] = []
    count = threading.Semaphore(AT_ONCE)

    def work(*_: object) -> None:
        assert count.acquire(blocking=False)
        at_work.append(together.wait(30))
        count.release()

    ensured(*(Recipe(str(number), work) for number in range(2 * AT_ONCE)))
    assert len(at_work) == 2 * AT_ONCE


def test_each_line_says_of_which_it_is_in_the_caller_s_thread() -> None:
    said: list[tuple[str, bool]] = []

    def report(progress: BuildProgress) -> None:
        said.append((str(progress), threading.current_thread() is threading.main_thread()))

    def work(_: Engine, report: ProgressReport) -> None:
        report(BuildProgress("plugin", "install"))
        report(BuildProgress("plugin", "[Warning] old"))

    ensured(Recipe("a", work), Recipe("b", work), report=report)
    lines = ["[Warning] a: old", "[Warning] b: old", "a: install", "b: install"]
    assert sorted(said) == [(line, True) for line in lines]
    ensured(Recipe("c", work), Recipe("d", there=True), report=report)
    assert said[4:] == [("install", True), ("[Warning] old", True)]  # there is but one


def test_the_first_that_fails_ends_the_others_and_begins_none() -> None:
    begun: list[str] = []

    def later(*_: object) -> None:
        begun.append("later")

    waiting = [Recipe(name, until_stopped) for name in "abcdef"[: AT_ONCE - 1]]
    failed = Recipe("x", failing(ValueError("x failed")))
    with pytest.raises(ValueError, match="x failed"):
        ensured(*waiting, failed, *(Recipe(name, later) for name in "yz"))
    assert begun == []


def test_those_that_end_because_of_it_are_no_further_errors() -> None:
    with pytest.raises(ValueError, match="first"):
        ensured(
            Recipe("a", until_stopped),
            Recipe("b", failing(ValueError("first"))),
            Recipe("c", failing(Stopped())),
        )


def test_what_interrupts_the_caller_ends_all() -> None:
    ended: list[str] = []

    def work(engine: Engine, report: ProgressReport) -> None:
        report(BuildProgress("plugin", "at work"))
        try:
            until_stopped(engine, report)
        finally:
            ended.append("ended")

    def report(_: BuildProgress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensured(Recipe("a", work), Recipe("b", work), report=report)
    assert 1 <= len(ended) <= 2  # the other may not have begun
