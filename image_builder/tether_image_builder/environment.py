"""The runtime environment as images: what is copied into other images, and mounted into others.

Two images belong to one environment. The base holds Python, libraries and the client's
dependencies, and is made anew only when its recipe or a pinned version changes. The complete one
adds the client's code, which takes no time.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import recipes
from .context import context_archive
from .engine import Engine, EngineRefusal, connected
from .errors import environment_unavailable
from .fingerprint import fingerprint
from .host import host_files, proxy_arguments
from .locks import held
from .models import BuildProgress, ProgressReport, ignore_progress
from .names import FINGERPRINT_DIGITS

if TYPE_CHECKING:
    import docker

SUITE = "bookworm"
STAGE_BASES = (f"debian:{SUITE}-slim",)
OWN_STAGE_BASE = f"tether-test/debian:{SUITE}"
PULL_SILENCE_S = 20.0
KIND_LABEL = "tether.kind"
STAGE_LABEL = "tether.stage"
ENVIRONMENTS = ("auto", "portable")


@dataclass(frozen=True)
class EnvironmentImage:
    """A runtime environment on an engine.

    Attributes:
        name: the kind (`portable`).
        base_image: holds /opt/tether without the client's code.
        image: holds all of /opt/tether; what a volume is filled from.
        fingerprint: 64 hexadecimal digits over recipe, pinned versions, code and platform.
    """

    name: str
    base_image: str
    image: str
    fingerprint: str


def ensure_environment(
    env: str = "auto",
    *,
    client: docker.DockerClient | None = None,
    progress: ProgressReport | None = None,
) -> EnvironmentImage:
    """Makes sure that the engine has a runtime environment, and says where.

    Args:
        env: `portable`, or `auto` for the best one that can be had.
        client: the engine; without it the one that the process environment names.
        progress: is told about each step.

    Raises:
        EngineUnavailable: no engine answers.
        EnvironmentUnavailable: it is not there and cannot be built.
    """
    with connected(client) as engine:
        recipe = EnvironmentRecipe.load(env, engine.platform)
        recipe.ensure(engine, progress or ignore_progress)
        return recipe.described


@dataclass(frozen=True)
class EnvironmentRecipe:
    """All that an environment is made of, and the images that come of it."""

    described: EnvironmentImage
    files: dict[str, bytes]
    code: dict[str, bytes]

    @classmethod
    def load(cls, env: str, platform: str) -> EnvironmentRecipe:
        """Reads recipe and code and names the images; asks no engine."""
        if env not in ENVIRONMENTS:
            raise ValueError(
                f"there is no environment {env!r}; there are {', '.join(ENVIRONMENTS)}"
            )
        name = "portable"
        files = recipes.recipe_files(name)
        code_recipe = files.pop("Dockerfile.code")
        files["requirements.txt"] = "\n".join([*recipes.requirements(), ""]).encode()
        code = recipes.code_files()
        base = fingerprint({**files, "platform": platform})
        whole = fingerprint({**code, "base": base, "Dockerfile.code": code_recipe})
        images = EnvironmentImage(
            name=name,
            base_image=f"tether-env-{name}-base:{base[:FINGERPRINT_DIGITS]}",
            image=f"tether-env-{name}:{whole[:FINGERPRINT_DIGITS]}",
            fingerprint=whole,
        )
        return cls(images, files, {"Dockerfile": code_recipe, **_below("code", code)})

    def ensure(self, engine: Engine, report: ProgressReport) -> None:
        """Builds what is missing. Two at once build it once."""
        if engine.find(self.described.image) is not None:
            return
        with held(self.described.image):
            if engine.find(self.described.image) is None:
                self._ensure_base(engine, report)
                self._add_code(engine, report)

    def _ensure_base(self, engine: Engine, report: ProgressReport) -> None:
        tag = self.described.base_image
        with held(tag):
            if engine.find(tag) is None:
                self._build_base(engine, tag, report)

    def _build_base(self, engine: Engine, tag: str, report: ProgressReport) -> None:
        name = self.described.name
        _say(report, f"building the runtime environment {name!r}, once for this engine")
        stage_base = _stage_base(engine, name, report)
        arguments = {"BASE": stage_base, "STAGE": tag, **proxy_arguments(os.environ)}
        context = context_archive({**self.files, **host_files(SUITE)}, ("host",))
        try:
            self._build(engine, context, tag, arguments, report)
        finally:
            engine.remove_unnamed(f"{STAGE_LABEL}={tag}")

    def _add_code(self, engine: Engine, report: ProgressReport) -> None:
        _say(report, f"adding the client's code to the runtime environment {self.described.name!r}")
        context = context_archive(self.code)
        arguments = {"BASE": self.described.base_image}
        self._build(engine, context, self.described.image, arguments, report)

    def _build(
        self,
        engine: Engine,
        context: bytes,
        tag: str,
        arguments: dict[str, str],
        report: ProgressReport,
    ) -> None:
        labels = {KIND_LABEL: "environment"}
        try:
            engine.build(
                context,
                tag=tag,
                report=report,
                phase="environment",
                arguments=arguments,
                labels=labels,
            )
        except EngineRefusal as problem:
            raise environment_unavailable(
                self.described.name, problem.reason, problem.log
            ) from None


def _say(report: ProgressReport, message: str) -> None:
    report(BuildProgress("environment", message))


def _below(folder: str, files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{folder}/{name}": content for name, content in files.items()}


def _stage_base(engine: Engine, name: str, report: ProgressReport) -> str:
    """A plain Debian to build in: one that is here, else pulled, else made from packages."""
    reasons = []
    for image in STAGE_BASES:
        if engine.find(image) is not None:
            return image
        _say(report, f"pulling {image}")
        try:
            engine.pull(image, report, phase="environment", silence_s=PULL_SILENCE_S)
        except EngineRefusal as problem:
            reasons.append(f"{image} cannot be pulled ({problem.reason})")
            _say(report, f"{reasons[-1]}; making a plain Debian from packages")
        else:
            return image
    if engine.find(OWN_STAGE_BASE) is None:
        _make_stage_base(name, reasons)
    return OWN_STAGE_BASE


def _make_stage_base(name: str, reasons: list[str]) -> None:
    script = recipes.recipes_folder() / "images" / "make-image"
    result = subprocess.run(
        [script, f"debian:{SUITE}"], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if result.returncode:
        reason = "; ".join([*reasons, "a plain Debian cannot be made here either"])
        raise environment_unavailable(name, reason, result.stderr.splitlines()[-10:])
