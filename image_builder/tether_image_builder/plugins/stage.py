"""The build stages in which the images of plugins are made, and what they say when they fail."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from secrets import token_hex

from pydantic import TypeAdapter

from .. import recipes
from ..classic import plain
from ..context import context_archive
from ..engine import Engine, EngineRefusal
from ..environment import KIND_LABEL, REASON, STAGE_LABEL, EnvironmentRecipe
from ..errors import plugin_failed, plugin_invalid, stage_unavailable
from ..host import proxy_arguments
from ..models import BuildOptions, BuildProgress, ProgressReport
from ..render import ENVIRONMENT_LABEL, FINGERPRINT_LABEL
from ..stream import TOLD
from .beginnings import PLUGIN, REPOSITORY, Beginnings

# How a line of the stage's output begins that says why there will be no plugin.
_FAILED, _INVALID = "plugin: ", "plugin invalid: "
_REASON = TypeAdapter(tuple[str, str])


@dataclass(frozen=True)
class PluginStage:
    """A stage for an image, which is called `tag`; `said` is what that is in errors."""

    tag: str
    said: str
    environment: EnvironmentRecipe

    @contextmanager
    def built(
        self,
        engine: Engine,
        files: Mapping[str, bytes],
        executable: frozenset[str],
        report: ProgressReport,
        beginnings: Beginnings,
        *,
        dockerfile: str,
        with_tools: bool = True,
        arguments: Mapping[str, str] | None = None,
    ) -> Iterator[str]:
        """What came of it, by a name that it has within the block; nothing else of it stays.

        Args:
            engine: where.
            files: the stage's folder `/plugin`, by path in it.
            executable: which of them can be executed.
            report: is told about each step.
            beginnings: what it may begin with.
            dockerfile: which of the recipe's.
            with_tools: it installs something.
            arguments: for it.

        Raises:
            PluginInvalid: the package is no plugin, or none for this Tether or this environment.
            BuildFailed: pip, apt or its set-up failed.
            EnvironmentUnavailable: the stage cannot be had.
        """
        self._refuse_platform(engine)
        unchecked = f"{REPOSITORY}-unchecked:{token_hex(8)}"
        begin = beginnings.with_tools if with_tools else beginnings.plain
        own = {f"plugin/{name}": content for name, content in files.items()}
        own["Dockerfile"] = recipes.plugin_recipe_files()[dockerfile]
        try:
            given = {**(arguments or {}), "BASE": begin(engine, report)}
            context = context_archive(own, (), {f"plugin/{name}" for name in executable})
            engine.build(
                context,
                tag=unchecked,
                report=_without_steps(report),
                phase="plugin",
                arguments={**self._arguments(beginnings.options), **given},
                labels={KIND_LABEL: PLUGIN},
                # A first step that two stages share goes with either of them, when that fails.
                no_cache=True,
            )
            yield unchecked
        except EngineRefusal as problem:
            raise self.failure(problem) from None
        finally:
            engine.untag(unchecked)
            engine.remove_unnamed(f"{STAGE_LABEL}={self.tag}")

    def _refuse_platform(self, engine: Engine) -> None:
        platform = self.environment.platform
        if platform != engine.platform:
            raise plugin_invalid(
                self.said,
                f"there is no image of it for {platform}, and this engine builds for"
                f" {engine.platform}",
                "Make it on an engine for that platform, and bring it by `docker save` and"
                " `docker load`",
            )

    def _arguments(self, options: BuildOptions) -> dict[str, str]:
        proxies = proxy_arguments({**os.environ, **options.arguments})
        return {**proxies, "STAGE": self.tag, "GLIBC": self.environment.recipe.manifest.glibc or ""}

    def failure(self, problem: EngineRefusal) -> Exception:
        """In the stage's own words, where it has some: they come before the engine's."""
        log = own_lines(problem.log)
        for line in reversed(problem.log):
            if line.startswith(_INVALID):
                return plugin_invalid(self.said, *_reason(line.removeprefix(_INVALID)))
            if line.startswith(_FAILED):
                return plugin_failed(self.said, plain(line.removeprefix(_FAILED)), log)
            if line.startswith(REASON):
                what = f"{self.said} could not be installed"
                return stage_unavailable(what, line.removeprefix(REASON), log)
        return plugin_failed(self.said, problem.reason, log)

    def named(
        self,
        engine: Engine,
        dockerfile: str,
        fingerprint: str,
        labels: Mapping[str, str],
        report: ProgressReport,
    ) -> None:
        """Gives what was found to be in order its name, and says what it is."""
        own = {
            KIND_LABEL: PLUGIN,
            ENVIRONMENT_LABEL: self.environment.described.name,
            FINGERPRINT_LABEL: fingerprint,
        }
        context = context_archive({"Dockerfile": dockerfile.encode()})
        old = engine.find(self.tag)
        try:
            engine.build(
                context,
                tag=self.tag,
                report=_without_steps(report),
                phase="plugin",
                labels={**own, **labels},
            )
        except EngineRefusal as problem:
            raise plugin_failed(self.said, problem.reason, problem.log) from None
        if old is not None:
            engine.discard(old.image_id)

    def check(self, labels: Mapping[str, str], platform: str, fingerprint: str) -> None:
        """Raises `PluginInvalid` for an image of this name that was made for something else."""
        expected = (self.environment.described.name, self.environment.platform, fingerprint)
        has = (labels.get(ENVIRONMENT_LABEL), platform, labels.get(FINGERPRINT_LABEL))
        if has != expected:
            reason = f"{self.tag} is for the environment {has[0]} on {has[1]}"
            raise plugin_invalid(self.said, reason, "Remove that image: it is none of ours")


def _without_steps(report: ProgressReport) -> ProgressReport:
    """What a stage does is told by itself; its instructions are the same for every plugin."""

    def tell(progress: BuildProgress) -> None:
        if progress.current is None:
            report(progress)

    return tell


def _reason(text: str) -> tuple[str, str | None]:
    """A reason and a hint, as the stage writes them. Its set-up scripts may have written it."""
    try:
        reason, hint = _REASON.validate_json(text)
    except ValueError:
        return text, None
    return plain(reason), plain(hint) or None


def own_lines(log: Sequence[str]) -> list[str]:
    """What was said by the program that failed: the end of a log, without what ours and the
    engine's builder say.
    """
    begins = max((at for at, line in enumerate(log) if line.startswith(TOLD)), default=-1)
    others = (_FAILED, "Removing intermediate container ")
    return [line for line in log[begins + 1 :] if not line.startswith(others)]


def say(report: ProgressReport, message: str) -> None:
    """A line of progress about plugins."""
    report(BuildProgress("plugin", message))
