"""Puts the runtime client into an image, once for each image and version of the client."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .choice import choose, said
from .context import context_archive
from .engine import Engine, EngineRefusal, connected
from .errors import (
    EnvironmentUnavailable,
    TagOfTheBase,
    build_failed,
    invalid_tag,
    not_named,
    push_failed,
)
from .host import PROXIES
from .layers import layers_on_top
from .locks import held, images_in_use
from .models import (
    BuildOptions,
    BuildProgress,
    BuildResult,
    Image,
    ProgressReport,
    Step,
    ignore_progress,
)
from .names import is_same_name, is_valid_tag
from .plan import Plan, check_architecture, find_image, make_plan
from .platforms import normal_platform
from .render import BASE_LABEL, FINGERPRINT_LABEL
from .with_plugins import asked_plugins, labelled, made_plugins, plugin_layers, warn_of_lost
from .with_spec import check_ready, checked, filled_in, planned, prepared, reused_steps

if TYPE_CHECKING:
    import docker

    from .plugins.image import MadePlugins
    from .plugins.labels import LabelledPlugin
    from .spec.model import Spec
    from .spec.steps import Prepared


def build_image(
    image: str | None = None,
    *,
    spec: Spec | None = None,
    strict: bool = False,
    client: docker.DockerClient | None = None,
    env: str | None = None,
    tag: str | None = None,
    platform: str | None = None,
    build_args: Mapping[str, str] | None = None,
    ca_certificate: str | Path | None = None,
    push: bool = False,
    no_cache: bool = False,
    plugins: Sequence[str] = (),
    plugin_packages: Sequence[str] = (),
    progress: ProgressReport | None = None,
) -> BuildResult:
    """Puts the runtime client into an image, unless it is in there already.

    All that the image says of how it runs stays: ENTRYPOINT, CMD, USER, WORKDIR, ENV and the rest.
    Calling it twice, also at the same time, builds once. An interruption leaves nothing half-made.
    It blocks; from a coroutine call it in a thread.

    Args:
        image: a name, a digest reference or an id. It is pulled if it is not there. It may be left
            out where the spec names one.
        spec: steps to carry out on the image first, and values for the arguments below that are
            left out.
        strict: what the linter finds in the spec's steps is an error and not a warning.
        client: the engine; without it the one that the process environment names.
        env: the runtime environment, without it `auto`: the best one that can be had.
        tag: one more name for the result, beside `<repository>_tether:<fingerprint>`.
        platform: which variant of the image (`linux/arm64`), where it is not the one that is here
            or that the engine would pull.
        build_args: values for the arguments that the environment's recipe declares, and for
            proxies; one that nothing declares is reported, as the engine does.
        ca_certificate: a PEM file that build steps trust while they run; it is no part of the
            result.
        push: send the image to the registry of its name.
        no_cache: build the image and those of its plugins again, whatever is there.
        plugins: names of installed plugins to put in beside the client.
        plugin_packages: more of them: pip requirements, and paths of source folders and wheels.
        progress: is told about each step, in the thread of the call.

    Raises:
        EngineUnavailable: no engine answers.
        ImageNotFound: the image is neither here nor can it be pulled.
        WrongArchitecture: there is no environment for what the image runs on.
        EnvironmentUnavailable: the runtime environment is not there and cannot be built.
        BuildFailed: the engine gave up.
        StepFailed: a step of the spec did not come to its end.
        PluginInvalid: a plugin is not there, is none, or does not go with another one.
        SpecInvalid: a source or a secret of the spec cannot be taken, or `strict` forbids a step.
        PushFailed: the image is made, and its registry did not take it.
        TagOfTheBase: `tag` is a name of the image itself, which would lose it.
        ValueError: `tag`, `env`, `platform` or `ca_certificate` is none that there can be.
        OSError: `ca_certificate` cannot be read.
    """
    began = time.monotonic()
    report = progress or ignore_progress
    image, env, tag, platform = filled_in(spec, image, env, tag, platform)
    checked(spec, report, strict=strict)
    if image is None:
        raise ValueError("there is no image to build from: name one, or a spec that does")
    if tag is not None and not is_valid_tag(tag):
        raise invalid_tag(tag)
    if tag is not None and is_same_name(tag, image):
        raise TagOfTheBase(tag, image)
    wanted = asked_plugins(spec, plugins, plugin_packages)
    options = BuildOptions(
        env=env or "auto",
        platform=None if platform is None else normal_platform(platform),
        arguments=dict(build_args or {}),
        ca_certificate=None if ca_certificate is None else read_certificate(Path(ca_certificate)),
        no_cache=no_cache,
    )
    with images_in_use(), connected(client) as engine:
        found = find_image(engine, image, options.platform, report)
        steps = planned(spec, found)
        choice = choose(engine, image, found, options)
        plan = make_plan(image, found, options, choice, steps, wanted)
        if tag is not None:
            _check_tag(engine, plan, tag)
        result = _carry_out_best(engine, plan, report)
        if tag is not None:
            _name(engine, result, tag)
            result = replace(result, tag=tag)
        if push:
            result = replace(result, pushed=_push(engine, result.tag, report))
    result = replace(result, seconds=time.monotonic() - began)
    report(BuildProgress("done", _summary(result)))
    return result


def read_certificate(path: Path) -> bytes:
    """The certificates of a PEM file.

    Raises:
        OSError: it cannot be read.
        ValueError: there is none in it.
    """
    content = path.read_bytes()
    if b"-----BEGIN CERTIFICATE-----" not in content:
        raise ValueError(f"{path} holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")
    return content


def _carry_out_best(engine: Engine, plan: Plan, report: ProgressReport) -> BuildResult:
    """Carries a plan out; where `auto` took what cannot be built, with what it takes instead."""
    try:
        return _carry_out(engine, plan, report)
    except EnvironmentUnavailable as problem:
        choice = plan.choice.instead(problem)
        if choice is None:
            raise
    wanted = [plugin.source for plugin in plan.plugins]
    other = make_plan(plan.name, plan.image, plan.options, choice, plan.steps, wanted)
    return _carry_out(engine, other, report)


def _carry_out(engine: Engine, plan: Plan, report: ProgressReport) -> BuildResult:
    _warn_of_unused(plan, report)
    if not plan.options.no_cache:
        if plan.is_done():
            return _result(engine, plan, plan.image, plan.name)
        if (there := _built(engine, plan)) is not None:
            return _result(engine, plan, there, plan.tag)
    check_architecture(engine, plan)
    with held(f"build-{plan.fingerprint}"):
        there = _built(engine, plan)
        if there is not None and not plan.options.no_cache:
            return _result(engine, plan, there, plan.tag)
        return _make(engine, plan, there, report)


def _make(engine: Engine, plan: Plan, old: Image | None, report: ProgressReport) -> BuildResult:
    """Builds the environment where it is not there, and the image."""
    check_ready(engine, plan)
    began = time.monotonic()
    environment_reused = engine.find(plan.recipe.described.image) is not None
    report(BuildProgress("environment", said(plan.choice)))
    plan.recipe.ensure(engine, report, plan.options)
    environment_seconds = 0.0 if environment_reused else time.monotonic() - began
    plugins = made_plugins(engine, plan.plugins, report, plan.options, plan)
    base = prepared(engine, plan, report)
    steps = _build(engine, plan, base, plugins, report)
    made = _built(engine, plan)
    if made is None:
        raise build_failed(plan.name, f"the engine lost {plan.tag} after the build", ())
    if old is not None and old.image_id != made.image_id:
        engine.discard(old.image_id)  # it had the name until now
    result = _result(engine, plan, made, plan.tag, steps, plugins)
    return replace(
        result,
        reused=False,
        environment_reused=environment_reused,
        environment_seconds=environment_seconds,
        steps=tuple(base.results) if base is not None else (),
    )


def _built(engine: Engine, plan: Plan) -> Image | None:
    found = engine.find(plan.tag)
    return found if plan.is_in(found) else None


def _build(
    engine: Engine,
    plan: Plan,
    with_steps: Prepared | None,
    made: Sequence[MadePlugins],
    report: ProgressReport,
) -> tuple[Step, ...]:
    plugins = labelled(made)
    warn_of_lost(plan, plugins, report)
    report(BuildProgress("build", f"putting {_said(plan, plugins)} into {plan.name}"))
    base = with_steps.image_id if with_steps is not None else None
    if base is None and plan.image.has_triggers:
        base = engine.without_triggers(plan.image.image_id)
    text = plan.dockerfile(base, keeps_command=with_steps is not None, plugins=plugins)
    context = context_archive({"Dockerfile": text.encode()})
    foreign = plan.image.platform != engine.platform
    try:
        done = engine.build(
            context,
            tag=plan.tag,
            report=report,
            phase="build",
            platform=plan.image.platform if foreign else None,
            no_cache=plan.options.no_cache,
        )
    except EngineRefusal as problem:
        raise build_failed(plan.name, problem.reason, problem.log) from None
    finally:
        if base is not None:
            engine.discard(base)  # but for a step's: that has a name
    return done if with_steps is None else (*with_steps.done, *done)


def _said(plan: Plan, plugins: Sequence[LabelledPlugin]) -> str:
    names = ", ".join(plugin.name for plugin in plugins)
    what = f"the {plan.source.environment} environment"
    return f"{what} and the plugins {names}" if names else what


def _result(
    engine: Engine,
    plan: Plan,
    image: Image,
    tag: str,
    steps: Sequence[Step] = (),
    plugins: Sequence[MadePlugins] = (),
) -> BuildResult:
    base_id = image.labels.get(BASE_LABEL, "")
    base = plan.image if plan.image.image_id == base_id else engine.find(base_id)
    return BuildResult(
        image_id=image.image_id,
        tag=tag,
        fingerprint=image.labels.get(FINGERPRINT_LABEL, ""),
        reused=True,
        platform=image.platform,
        environment=plan.recipe.described.name,
        environment_reason=plan.choice.reason,
        environment_image=plan.recipe.described.image,
        environment_parts=plan.recipe.parts(engine),
        environment_reused=True,
        environment_seconds=0.0,
        layers=layers_on_top(engine.history(image.image_id), base_id, steps),
        base_id=base_id,
        seconds=0.0,
        bytes_added=image.size - base.size if base is not None else 0,
        entrypoint=plan.command[0],
        command=plan.command[1],
        steps=reused_steps(engine, plan),
        plugins=plugin_layers(image.labels, plugins),
    )


def _warn_of_unused(plan: Plan, report: ProgressReport) -> None:
    """In the engine's own words, which whoever uses build arguments knows."""
    known = {*PROXIES, *(name.upper() for name in PROXIES), *plan.recipe.arguments}
    unused = sorted(plan.options.arguments.keys() - known)
    if unused:
        names = ", ".join(unused)
        report(
            BuildProgress("build", f"[Warning] One or more build-args [{names}] were not consumed")
        )


def _check_tag(engine: Engine, plan: Plan, tag: str) -> None:
    """A name of the base image's own stays its own; one that it has from an earlier build may."""
    named = engine.find(tag)
    is_new = not plan.is_done() or plan.options.no_cache
    if is_new and named is not None and named.image_id == plan.image.image_id:
        raise TagOfTheBase(tag, plan.name)


def _name(engine: Engine, result: BuildResult, tag: str) -> None:
    try:
        engine.tag(result.image_id, tag)
    except EngineRefusal as problem:
        raise not_named(result.tag, tag, problem.reason) from None


def _push(engine: Engine, tag: str, report: ProgressReport) -> str | None:
    if not is_valid_tag(tag):
        raise push_failed(tag, "a registry takes names, and this is an id or a digest")
    report(BuildProgress("push", f"pushing {tag}"))
    try:
        return engine.push(tag, report)
    except EngineRefusal as problem:
        raise push_failed(tag, problem.reason) from None


def _summary(result: BuildResult) -> str:
    if result.reused:
        return f"{result.tag} is there already ({result.seconds:.1f} s)"
    parts = [(f"step {step.number}", step.bytes or 0, step.reused) for step in result.steps]
    others = ("plugin", "user") if parts else ("plugin",)
    ours = [layer for layer in result.layers if layer.part not in others]
    parts += [(layer.part, layer.bytes, layer.reused) for layer in ours]
    for each in result.plugins:
        parts.append((f"plugin {each.name}", each.bytes - each.needs_bytes, each.reused))
        if each.needs_image is not None:
            parts.append((f"needs of {each.name}", each.needs_bytes, each.needs_reused))
    said = ", ".join(f"{name} {size / 1e6:.1f} MB{' reused' * old}" for name, size, old in parts)
    return f"{result.tag} made ({result.seconds:.1f} s: {said})"
