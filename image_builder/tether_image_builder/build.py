"""Puts the runtime client into an image, once for each image and version of the client."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .context import context_archive
from .engine import Engine, EngineRefusal, connected
from .environment import EnvironmentRecipe
from .errors import build_failed, image_not_found, invalid_tag, wrong_architecture
from .fingerprint import fingerprint
from .locks import held
from .models import BuildProgress, BuildResult, Image, ProgressReport, ignore_progress
from .names import built_tag, is_pullable, is_valid_tag
from .render import (
    BASE_LABEL,
    COMMAND_LABEL,
    ENTRYPOINT,
    ENTRYPOINT_LABEL,
    ENVIRONMENT_FINGERPRINT_LABEL,
    FINGERPRINT_LABEL,
    Source,
    render,
    words_in_label,
)

if TYPE_CHECKING:
    import docker


def build_image(
    image: str,
    *,
    client: docker.DockerClient | None = None,
    env: str = "auto",
    tag: str | None = None,
    no_cache: bool = False,
    progress: ProgressReport | None = None,
) -> BuildResult:
    """Puts the runtime client into an image, unless it is in there already.

    The image's USER, WORKDIR, ENV and labels stay. Its ENTRYPOINT and CMD are kept in the labels
    `tether.entrypoint` and `tether.cmd`, because the client takes their place. Calling it twice,
    also at the same time, builds once. It blocks; from a coroutine call it in a thread.

    Args:
        image: a name, a digest reference or an id. It is pulled if it is not there.
        client: the engine; without it the one that the process environment names.
        env: the runtime environment: `portable`, or `auto` for the best one that can be had.
        tag: one more name for the result, instead of `<repository>_tether:<fingerprint>`.
        no_cache: build the image again, whatever is there.
        progress: is told about each step, in the thread of the call.

    Raises:
        EngineUnavailable: no engine answers.
        ImageNotFound: the image is neither here nor can it be pulled.
        WrongArchitecture: the image cannot run beside the engine's own environment.
        EnvironmentUnavailable: the runtime environment is not there and cannot be built.
        BuildFailed: the engine gave up.
        ValueError: `tag` or `env` is none that there can be.
    """
    began = time.monotonic()
    report = progress or ignore_progress
    if tag is not None and not is_valid_tag(tag):
        raise invalid_tag(tag)
    with connected(client) as engine:
        plan = make_plan(engine, image, env, find_image(engine, image, report))
        result = _carry_out(engine, plan, report, no_cache=no_cache)
        if tag is not None:
            engine.tag(result.image_id, tag)
            result = replace(result, tag=tag)
    result = replace(result, seconds=time.monotonic() - began)
    verb = "is there already" if result.reused else "made"
    report(BuildProgress("done", f"{result.tag} {verb} ({result.seconds:.1f} s)"))
    return result


@dataclass(frozen=True)
class Plan:
    """What is to be made of which image."""

    name: str
    image: Image
    recipe: EnvironmentRecipe
    source: Source
    fingerprint: str
    tag: str

    def dockerfile(self, base: str | None = None) -> str:
        """What the engine is given."""
        return render(self.source, base=base, fingerprint=self.fingerprint)


def make_plan(engine: Engine, name: str, env: str, image: Image) -> Plan:
    """Decides everything and changes nothing.

    Raises:
        WrongArchitecture: the image cannot run beside the engine's own environment.
    """
    if image.platform != engine.platform:
        raise wrong_architecture(name, image.platform, engine.platform)
    recipe = EnvironmentRecipe.load(env, engine.platform)
    entrypoint, command = original_command(image)
    source = Source(
        base=image.image_id,
        environment=recipe.described.name,
        environment_fingerprint=recipe.described.fingerprint,
        environment_base_image=recipe.described.base_image,
        environment_image=recipe.described.image,
        entrypoint=entrypoint,
        command=command,
    )
    total = fingerprint({"dockerfile": render(source), "platform": engine.platform})
    return Plan(name, image, recipe, source, total, built_tag(name, image.image_id, total))


def original_command(image: Image) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    """ENTRYPOINT and CMD as they were before any runtime client was put in.

    An image made *from* a built one may have a CMD of its own, which then counts.
    """
    if image.entrypoint != ENTRYPOINT:
        return image.entrypoint, image.command
    kept = words_in_label(image.labels, COMMAND_LABEL)
    return words_in_label(image.labels, ENTRYPOINT_LABEL), image.command or kept


def find_image(engine: Engine, name: str, report: ProgressReport) -> Image:
    """The image, pulled if need be.

    Raises:
        ImageNotFound: it is neither here nor can it be pulled.
    """
    if (found := engine.find(name)) is not None:
        return found
    if not is_pullable(name):
        raise image_not_found(name, "no registry can be asked for a name like this")
    report(BuildProgress("pull", f"pulling {name}"))
    try:
        engine.pull(name, report, phase="pull")
    except EngineRefusal as problem:
        raise image_not_found(name, problem.reason) from None
    if (found := engine.find(name)) is None:
        raise image_not_found(name, "the engine does not have it after the pull")
    return found


def _carry_out(
    engine: Engine, plan: Plan, report: ProgressReport, *, no_cache: bool
) -> BuildResult:
    if not no_cache:
        if _holds_this_client(plan):
            return _result(engine, plan, plan.image, plan.name, reused=True)
        if (there := _built(engine, plan)) is not None:
            return _result(engine, plan, there, plan.tag, reused=True)
    with held(f"build-{plan.fingerprint}"):
        there = None if no_cache else _built(engine, plan)
        if there is None:
            plan.recipe.ensure(engine, report)
            _build(engine, plan, report, no_cache=no_cache)
            there = _built(engine, plan)
            if there is None:
                raise build_failed(plan.name, f"the engine lost {plan.tag} after the build", ())
            return _result(engine, plan, there, plan.tag, reused=False)
    return _result(engine, plan, there, plan.tag, reused=True)


def _holds_this_client(plan: Plan) -> bool:
    image = plan.image
    client = image.labels.get(ENVIRONMENT_FINGERPRINT_LABEL)
    has_entry = image.entrypoint == ENTRYPOINT and image.command is None
    return has_entry and client == plan.source.environment_fingerprint


def _built(engine: Engine, plan: Plan) -> Image | None:
    found = engine.find(plan.tag)
    same = found is not None and found.labels.get(FINGERPRINT_LABEL) == plan.fingerprint
    return found if same else None


def _build(engine: Engine, plan: Plan, report: ProgressReport, *, no_cache: bool) -> None:
    what = f"the {plan.source.environment} environment"
    report(BuildProgress("build", f"putting {what} into {plan.name}"))
    base = engine.without_triggers(plan.image.image_id) if plan.image.has_triggers else None
    context = context_archive({"Dockerfile": plan.dockerfile(base).encode()})
    try:
        engine.build(context, tag=plan.tag, report=report, phase="build", no_cache=no_cache)
    except EngineRefusal as problem:
        raise build_failed(plan.name, problem.reason, problem.log) from None
    if no_cache:  # the image that had the name has none now
        engine.remove_unnamed(f"{FINGERPRINT_LABEL}={plan.fingerprint}")


def _result(engine: Engine, plan: Plan, image: Image, tag: str, *, reused: bool) -> BuildResult:
    base_id = image.labels.get(BASE_LABEL, "")
    base = plan.image if plan.image.image_id == base_id else engine.find(base_id)
    return BuildResult(
        image_id=image.image_id,
        tag=tag,
        fingerprint=image.labels.get(FINGERPRINT_LABEL, ""),
        reused=reused,
        environment=plan.recipe.described.name,
        environment_image=plan.recipe.described.image,
        base_id=base_id,
        seconds=0.0,
        bytes_added=image.size - base.size if base is not None else 0,
        entrypoint=plan.source.entrypoint,
        command=plan.source.command,
    )
