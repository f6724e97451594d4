"""The runtime environment as images: what is copied into other images, and mounted into others.

Two images belong to one environment. The base holds Python, libraries and the client's
dependencies, and is made anew only when its recipe or a pinned version changes. The complete one
adds the client's code, which takes no time.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from . import recipes
from .catalog import find_recipe
from .context import context_archive
from .engine import Engine, EngineRefusal
from .errors import (
    EnvironmentUnavailable,
    environment_unavailable,
    recipe_invalid,
)
from .fingerprint import fingerprint
from .host import host_files, proxy_arguments
from .locks import held
from .manifest import Recipe
from .models import BuildOptions, BuildProgress, ProgressReport
from .names import FINGERPRINT_DIGITS
from .stage import stage_base, suite_of

KIND_LABEL = "tether.kind"
STAGE_LABEL = "tether.stage"
PARTS_LABEL = "tether.environment.parts"
# How a line of a build stage begins that says why the environment cannot be built.
REASON = "recipe: "
PYTHON = "/opt/tether/bin/python3"


@dataclass(frozen=True)
class EnvironmentImage:
    """A runtime environment on an engine.

    Attributes:
        name: the recipe's (`portable`).
        base_image: holds /opt/tether without the client's code.
        image: holds all of /opt/tether; what a volume is filled from.
        fingerprint: 64 hexadecimal digits over recipe, pinned versions, code and platform.
    """

    name: str
    base_image: str
    image: str
    fingerprint: str


@dataclass(frozen=True)
class EnvironmentRecipe:
    """All that an environment is made of, and the images that come of it."""

    described: EnvironmentImage
    recipe: Recipe
    files: Mapping[str, bytes]
    code: Mapping[str, bytes]
    arguments: Mapping[str, str]
    platform: str

    @classmethod
    def load(
        cls,
        recipe: Recipe | str,
        platform: str,
        arguments: Mapping[str, str] | None = None,
        code: Mapping[str, bytes] | None = None,
    ) -> EnvironmentRecipe:
        """Reads recipe and code and names the images; asks no engine.

        Args:
            recipe: a recipe, or the name or folder of one.
            platform: what the environment is to run on (`linux/amd64`).
            arguments: values of the user's for build arguments; those of other names are ignored.
            code: the client's code, where it was read already.

        Raises:
            EnvironmentUnavailable: the recipe is broken.
            ValueError: there is no recipe of that name.
        """
        recipe = find_recipe(recipe) if isinstance(recipe, str) else recipe
        manifest = recipe.manifest
        files = {**recipe.files, **_below("common", recipes.common_files())}
        chosen = recipe.arguments(platform, os.environ, arguments or {})
        base = fingerprint({**files, "arguments": json.dumps(chosen), "platform": platform})
        code, code_recipe = code or recipes.code_files(), recipes.code_recipe()
        whole = fingerprint({**code, "base": base, "Dockerfile.code": code_recipe})
        images = EnvironmentImage(
            name=manifest.name,
            base_image=f"tether-env-{manifest.name}-base:{base[:FINGERPRINT_DIGITS]}",
            image=f"tether-env-{manifest.name}:{whole[:FINGERPRINT_DIGITS]}",
            fingerprint=whole,
        )
        context = {"Dockerfile": code_recipe, **_below("code", code)}
        return cls(images, recipe, files, context, chosen, platform)

    def ensure(
        self, engine: Engine, report: ProgressReport, options: BuildOptions | None = None
    ) -> None:
        """Builds what is missing. Two at once build it once.

        Args:
            engine: where.
            report: is told about each step.
            options: further proxies and certificates for the build stage.
        """
        if engine.find(self.described.image) is not None:
            return
        with held(self.described.image):
            if engine.find(self.described.image) is None:
                self._ensure_base(engine, report, options or BuildOptions())
                self._add_code(engine, report)

    def is_built(self, engine: Engine) -> bool:
        """Whether all of it is there but for the client's code, which takes no time."""
        return engine.find(self.described.base_image) is not None

    def parts(self, engine: Engine) -> dict[str, int]:
        """Bytes of each part of a built environment, without the client's code."""
        base = engine.find(self.described.base_image)
        return dict(json.loads(base.labels.get(PARTS_LABEL, "{}"))) if base is not None else {}

    def _ensure_base(self, engine: Engine, report: ProgressReport, options: BuildOptions) -> None:
        tag = self.described.base_image
        with held(tag):
            if engine.find(tag) is None:
                self._build_base(engine, tag, report, options)

    def _build_base(
        self, engine: Engine, tag: str, report: ProgressReport, options: BuildOptions
    ) -> None:
        """The base has its name only when it was found to keep the contract."""
        name, platforms = self.described.name, self.recipe.manifest.platforms
        if self.platform not in platforms:
            reason = f"its recipe is for {', '.join(platforms)}, and not for {self.platform}"
            raise environment_unavailable(name, reason, ())
        _say(report, f"building the runtime environment {name!r}, once for this engine")
        base = stage_base(engine, name, self.recipe.manifest.base, report)
        host = host_files(suite_of(base), options.ca_certificate)
        context = context_archive({**self.files, **host}, ("host",))
        unchecked = tag.replace("-base:", "-unchecked-base:")
        try:
            arguments = self._stage_arguments(base, tag, options)
            self._build(engine, context, unchecked, report, arguments=arguments)
            self._name_base(engine, unchecked, tag, report)
        finally:
            engine.untag(unchecked)
            engine.remove_unnamed(f"{STAGE_LABEL}={tag}")

    def _stage_arguments(self, base: str, tag: str, options: BuildOptions) -> dict[str, str]:
        proxies = proxy_arguments({**os.environ, **options.arguments})
        own = {"BASE": base, "GLIBC": self.recipe.manifest.glibc or "", "STAGE": tag}
        return {**proxies, **self.arguments, **own}

    def _name_base(self, engine: Engine, unchecked: str, tag: str, report: ProgressReport) -> None:
        parts = self._checked(engine, unchecked)
        _say(report, _sizes(self.described.name, parts))
        labels = {PARTS_LABEL: json.dumps(parts)}
        context = context_archive({"Dockerfile": f"FROM {unchecked}\n".encode()})
        self._build(engine, context, tag, report, labels=labels)

    def _checked(self, engine: Engine, image: str) -> dict[str, int]:
        """The sizes of the parts of an environment that keeps the contract."""
        pinned = recipes.common_files()["constraints.txt"].decode()
        wanted = re.findall(r"^[^#\s]+==\S+$", pinned, re.MULTILINE)
        try:
            answer = engine.run(image, [PYTHON, "-I", "-c", recipes.check_program(), *wanted])
        except EngineRefusal as problem:
            reason = f"its Python does not run ({problem.reason})"
            raise environment_unavailable(self.described.name, reason, problem.log) from None
        found = json.loads(answer)
        if found["problems"]:
            raise recipe_invalid(self.recipe.folder, "; ".join(found["problems"]))
        return dict(found["parts"])

    def _add_code(self, engine: Engine, report: ProgressReport) -> None:
        _say(report, f"adding the client's code to the runtime environment {self.described.name!r}")
        context = context_archive(self.code)
        arguments = {"BASE": self.described.base_image}
        self._build(engine, context, self.described.image, report, arguments=arguments)

    def _build(
        self,
        engine: Engine,
        context: bytes,
        tag: str,
        report: ProgressReport,
        *,
        arguments: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        try:
            engine.build(
                context,
                tag=tag,
                report=report,
                phase="environment",
                arguments=arguments,
                labels={KIND_LABEL: "environment", **(labels or {})},
            )
        except EngineRefusal as problem:
            raise self._unavailable(problem) from None

    def _unavailable(self, problem: EngineRefusal) -> EnvironmentUnavailable:
        """In the recipe's own words, where it has some: they come before the engine's."""
        own = [line for line in problem.log if line.startswith(REASON)]
        reason = own[-1].removeprefix(REASON) if own else problem.reason
        hint = self.recipe.manifest.hint
        return environment_unavailable(self.described.name, reason, problem.log, hint=hint)


def _say(report: ProgressReport, message: str) -> None:
    report(BuildProgress("environment", message))


def _sizes(name: str, parts: Mapping[str, int]) -> str:
    each = ", ".join(f"{part} {size / 1e6:.1f}" for part, size in parts.items())
    return f"the runtime environment {name!r} has {sum(parts.values()) / 1e6:.1f} MB: {each}"


def _below(folder: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {f"{folder}/{name}": content for name, content in files.items()}
