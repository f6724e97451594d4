"""Says what a build would do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .choice import choose
from .engine import connected
from .errors import image_not_found
from .models import BuildOptions, ProgressReport, ignore_progress
from .plan import make_plan
from .with_plugins import asked_plugins, described, there
from .with_spec import check_places, checked, filled_in, planned

if TYPE_CHECKING:
    from .spec.model import Spec


def dry_run(
    image: str | None,
    *,
    spec: Spec | None = None,
    env: str | None = None,
    build_args: Mapping[str, str] | None = None,
    plugins: Sequence[str] = (),
    plugin_packages: Sequence[str] = (),
    strict: bool = False,
    progress: ProgressReport | None = None,
) -> str:
    """What `build_image` would do, as a Dockerfile with the steps of a spec as comments.

    It pulls and builds nothing, and reads no secret.

    Raises:
        EngineUnavailable: no engine answers.
        ImageNotFound: the image is not on the engine.
        PluginInvalid: a plugin is not there, is none, or does not go with another one.
        SpecInvalid: a source of the spec cannot be taken, a file would take the place of a folder,
            or `strict` forbids a step.
    """
    checked(spec, progress or ignore_progress, strict=strict)
    image, env, *_ = filled_in(spec, image, env, None, None)
    name = image or ""
    wanted = asked_plugins(spec, plugins, plugin_packages)
    options = BuildOptions(env=env or "auto", arguments=dict(build_args or {}))
    with connected(None) as engine:
        found = engine.find(name)
        if found is None:
            raise image_not_found(name, "a dry run pulls nothing")
        steps = planned(spec, found)
        check_places(engine, steps, found)
        choice = choose(engine, name, found, options)
        plan = make_plan(name, found, options, choice, steps, wanted)
        made = there(engine, plan)
    head = f"# {plan.tag}\n{described(plan, made)}"
    if steps is None:
        return f"{head}{plan.dockerfile(plugins=made)}"
    text = plan.dockerfile(steps.steps[-1].tag, keeps_command=True, plugins=made)
    return f"{head}{steps.describe()}{text}"
