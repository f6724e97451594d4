"""Makes the images of several plugins at the same time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from queue import SimpleQueue

from ..engine import Engine
from ..models import BuildOptions, BuildProgress, ProgressReport
from ..stopping import Stop, Stopped
from .beginnings import Beginnings
from .image import MadePlugins, PluginRecipe

AT_ONCE = 3
_WARNING = "[Warning] "

_Event = BuildProgress | tuple[str, MadePlugins] | BaseException | None


def ensure_all(
    engine: Engine, recipes: Sequence[PluginRecipe], report: ProgressReport, options: BuildOptions
) -> tuple[MadePlugins, ...]:
    """Makes what is missing, at most `AT_ONCE` of them at a time; gives them in their order.

    Where one cannot be made, those that are being made are ended and leave nothing, and those that
    were made stay. An interruption ends them too, and a second one does not wait for that.

    Raises:
        PluginInvalid, BuildFailed, EnvironmentUnavailable: the first that failed.
    """
    there = [None if options.no_cache else recipe.find(engine) for recipe in recipes]
    missing = [recipe for recipe, found in zip(recipes, there, strict=True) if found is None]
    made = _made(engine, missing, report, options) if missing else {}
    return tuple(
        MadePlugins(found, True, 0.0) if found is not None else made[recipe.tag]
        for recipe, found in zip(recipes, there, strict=True)
    )


def _made(
    engine: Engine, missing: Sequence[PluginRecipe], report: ProgressReport, options: BuildOptions
) -> dict[str, MadePlugins]:
    """By the names of their images."""
    beginnings = Beginnings(missing[0].environment, options)  # which is that of all
    try:
        if len(missing) == 1:
            return {missing[0].tag: missing[0].ensure(engine, report, beginnings)}
        return _Work(engine, missing, report, beginnings).carry_out()
    finally:
        beginnings.close(engine)


@dataclass
class _Work:
    """Threads that make one after another, and the caller's, which alone tells what they say."""

    engine: Engine
    recipes: Sequence[PluginRecipe]
    report: ProgressReport
    beginnings: Beginnings
    stop: Stop = field(default_factory=Stop)
    events: SimpleQueue[_Event] = field(default_factory=SimpleQueue)
    made: dict[str, MadePlugins] = field(default_factory=dict)
    problem: BaseException | None = None

    def carry_out(self) -> dict[str, MadePlugins]:
        self._waiting = deque(self.recipes)
        at_work = min(AT_ONCE, len(self.recipes))
        for _ in range(at_work):
            # The interpreter would wait for others than these, also after a second interruption.
            threading.Thread(target=self._work, name="tether-plugin", daemon=True).start()
        while at_work:
            try:
                event = self.events.get()
                at_work -= event is None
                self._take(event)
            except BaseException as interruption:
                if self.problem is not None:
                    raise
                self._end(interruption)
        if self.problem is not None:
            raise self.problem
        return self.made

    def _take(self, event: _Event) -> None:
        if isinstance(event, tuple):
            self.made[event[0]] = event[1]
        elif isinstance(event, BaseException):
            if self.problem is None:
                self._end(event)
        elif event is not None and self.problem is None:
            self.report(event)

    def _end(self, problem: BaseException) -> None:
        self.problem = problem
        self._waiting.clear()
        self.stop.set()

    def _work(self) -> None:
        try:
            while self._waiting:
                recipe = self._waiting.popleft()
                engine = self.engine.stopped_by(self.stop)
                made = recipe.ensure(engine, self._telling(recipe), self.beginnings)
                self.events.put((recipe.tag, made))
        except (IndexError, Stopped):
            pass  # another one took the last, or it was to end
        except BaseException as problem:
            self.events.put(problem)
        finally:
            self.events.put(None)

    def _telling(self, recipe: PluginRecipe) -> ProgressReport:
        """Says of which plugin a line is."""

        def tell(progress: BuildProgress) -> None:
            mark = _WARNING * progress.message.startswith(_WARNING)
            message = progress.message.removeprefix(mark)
            self.events.put(replace(progress, message=f"{mark}{recipe.source.slug}: {message}"))

        return tell
