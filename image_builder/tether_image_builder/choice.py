"""Which runtime environment an image gets, and why.

`auto` follows one rule, so that it takes the same environment every time:

1. the recipe that TETHER_RECIPE names, where it is set;
2. the environment that the image has in it already, where that is one of today's;
3. `miniforge`, where it is built on the engine or its installer can be had, and the image has a
   glibc that is new enough for it; whether the installer can be had is asked once a day;
4. `portable`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from . import recipes
from .catalog import AUTO, BUILT_IN, RECIPE_VARIABLE, find_recipe
from .engine import Engine, connected
from .environment import EnvironmentImage, EnvironmentRecipe
from .errors import EnvironmentUnavailable, environment_unfit, recipe_invalid
from .libc import glibc_of, version
from .locks import images_in_use
from .manifest import Manifest, Recipe
from .models import BuildOptions, BuildProgress, Image, ProgressReport, ignore_progress
from .reach import note_unreachable, shown, why_unreachable
from .render import ENVIRONMENT_FINGERPRINT_LABEL, ENVIRONMENT_LABEL

if TYPE_CHECKING:
    import docker

BEST, LAST = BUILT_IN


@dataclass(frozen=True)
class Choice:
    """An environment and what speaks for it; `can_fall_back` where `auto` chose and has another."""

    recipe: EnvironmentRecipe
    reason: str
    can_fall_back: bool = False

    def instead(self, problem: EnvironmentUnavailable) -> Choice | None:
        """What `auto` takes, for a day, where this one could not be built."""
        if not self.can_fall_back:
            return None
        failed = problem.message.splitlines()[0]
        needs = self.recipe.recipe.manifest.needs
        if needs is not None:
            note_unreachable(self.recipe.arguments[needs], failed)
        return Choice(EnvironmentRecipe.load(LAST, self.recipe.platform), failed)


def ensure_environment(
    env: str = AUTO,
    *,
    image: str | None = None,
    client: docker.DockerClient | None = None,
    progress: ProgressReport | None = None,
) -> EnvironmentImage:
    """Makes sure that the engine has a runtime environment, and says where.

    Args:
        env: a recipe's name or folder, or `auto` for the best one that can be had.
        image: what it is for; without one, or where the engine does not have it, `auto` takes
            what suits any image.
        client: the engine; without it the one that the process environment names.
        progress: is told about each step.

    Raises:
        EngineUnavailable: no engine answers.
        EnvironmentUnavailable: it is not there and cannot be built, or does not suit the image.
        ValueError: there is no such recipe.
    """
    report = progress or ignore_progress
    with images_in_use(), connected(client) as engine:
        found = engine.find(image) if image is not None else None
        choice = choose(engine, image or "any image", found, BuildOptions(env=env))
        return ensured(engine, choice, report).described


def ensured(engine: Engine, choice: Choice, report: ProgressReport) -> EnvironmentRecipe:
    """Builds what is missing of the chosen environment, or of what `auto` takes instead.

    Raises:
        EnvironmentUnavailable: it cannot be built, and nothing takes its place.
    """
    report(BuildProgress("environment", said(choice)))
    try:
        choice.recipe.ensure(engine, report)
    except EnvironmentUnavailable as problem:
        other = choice.instead(problem)
        if other is None:
            raise
        report(BuildProgress("environment", said(other)))
        other.recipe.ensure(engine, report)
        return other.recipe
    return choice.recipe


def choose(engine: Engine, name: str, image: Image | None, options: BuildOptions) -> Choice:
    """Decides and builds nothing.

    Args:
        engine: is asked what it has, and what the image has.
        name: what the user called the image.
        image: its facts; None for whatever image.
        options: `env` is what is asked for; `arguments` may be the recipe's.

    Raises:
        EnvironmentUnavailable: what is asked for does not suit the image.
        ValueError: there is no such recipe.
    """
    return _Chooser(engine, name, image, options).choose()


def said(choice: Choice) -> str:
    """The choice in words."""
    return f"the runtime environment {choice.recipe.described.name!r}: {choice.reason}"


@dataclass(frozen=True)
class _Chooser:
    engine: Engine
    name: str
    image: Image | None
    options: BuildOptions

    def choose(self) -> Choice:
        if self.options.env != AUTO:
            return Choice(self._named(self.options.env), "it was asked for")
        if (named := os.environ.get(RECIPE_VARIABLE) or AUTO) != AUTO:
            return Choice(self._by_variable(named), f"{RECIPE_VARIABLE} names it")
        return self._inside() or self._best()

    @property
    def _platform(self) -> str:
        return self.image.platform if self.image is not None else self.engine.platform

    def _load(self, recipe: Recipe | str) -> EnvironmentRecipe:
        return EnvironmentRecipe.load(recipe, self._platform, self.options.arguments, self._code)

    @cached_property
    def _code(self) -> dict[str, bytes]:
        """Read once, however many recipes are looked at."""
        return recipes.code_files()

    def _named(self, env: str) -> EnvironmentRecipe:
        recipe = find_recipe(env)
        if (reason := self._why_unfit(recipe.manifest)) is not None:
            raise environment_unfit(recipe.manifest.name, self.name, reason)
        return self._load(recipe)

    def _by_variable(self, named: str) -> EnvironmentRecipe:
        try:
            return self._named(named)
        except ValueError as problem:  # no argument of the caller's is wrong
            raise recipe_invalid(f"{RECIPE_VARIABLE}={named}", str(problem)) from None

    def _inside(self) -> Choice | None:
        """The environment that is in the image, where it is one of today's."""
        labels = self.image.labels if self.image is not None else {}
        if (name := labels.get(ENVIRONMENT_LABEL)) not in BUILT_IN:
            return None
        recipe = self._load(name)
        same = labels.get(ENVIRONMENT_FINGERPRINT_LABEL) == recipe.described.fingerprint
        return Choice(recipe, "the image has it already") if same else None

    def _best(self) -> Choice:
        best = find_recipe(BEST)
        if self.image is None or self._platform not in best.manifest.platforms:
            return self._last("it suits any image")
        recipe = self._load(best)
        is_built = recipe.is_built(self.engine)
        url = recipe.arguments[best.manifest.needs or ""]
        if not is_built and (problem := why_unreachable(url)) is not None:
            return self._last(f"{BEST} cannot be had from {shown(url)}: {problem}")
        if (unfit := self._why_unfit(best.manifest)) is not None:
            return self._last(unfit)
        if is_built:
            return Choice(recipe, "this engine has it")
        return Choice(recipe, f"it can be had from {shown(url)}", can_fall_back=True)

    def _last(self, reason: str) -> Choice:
        return Choice(self._load(LAST), reason)

    def _why_unfit(self, manifest: Manifest) -> str | None:
        if self.image is None or manifest.glibc is None:
            return None
        found = glibc_of(self.engine, self.image.image_id, self._platform)
        if found is None:
            return f"the image has no glibc, and {manifest.name} needs one"
        if found < version(manifest.glibc):
            has = ".".join(map(str, found))
            return f"the image's glibc is {has}, and {manifest.name} needs {manifest.glibc}"
        return None
