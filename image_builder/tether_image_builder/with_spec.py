"""What a build does where there is a spec. The spec's own modules are loaded only then."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .engine import Engine
    from .models import Image, ProgressReport, StepResult
    from .plan import Plan
    from .spec.model import Spec
    from .spec.plan import StepPlan
    from .spec.steps import Prepared


def filled_in(spec: Spec | None, *given: str | None) -> tuple[str | None, ...]:
    """Image, environment, tag and platform: what is given counts more than what the spec says."""
    if spec is None:
        return given
    own = (spec.image, spec.env, spec.tag, spec.platform)
    return tuple(mine if mine is not None else its for mine, its in zip(given, own, strict=True))


def checked(spec: Spec | None, report: ProgressReport, *, strict: bool) -> None:
    """Reports what the linter finds.

    Raises:
        SpecInvalid: it found something, and is to be strict.
    """
    if spec is not None:
        from .spec.prepare import check

        check(spec, report, strict=strict)


def planned(spec: Spec | None, image: Image) -> StepPlan | None:
    """What the steps come to on an image, None where there is none.

    Raises:
        SpecInvalid: a source is missing, or is one that is refused.
    """
    if spec is None or not spec.steps:
        return None
    from .spec.plan import plan_steps

    return plan_steps(spec, image.image_id)


def check_places(engine: Engine, steps: StepPlan | None, image: Image) -> None:
    """Whether files go where the image has no folder, as far as that can be said beforehand.

    Raises:
        SpecInvalid: a file would take the place of a folder.
    """
    if steps is not None:
        from .spec.ready import check_places

        check_places(engine, steps, image.image_id)


def check_ready(engine: Engine, plan: Plan) -> None:
    """Looks for what would fail a step, before anything is built.

    Raises:
        SpecInvalid: a secret is not there, or a file would take the place of a folder.
    """
    if plan.steps is not None:
        from .spec.steps import check_ready

        check_ready(engine, plan.steps, plan.image, no_cache=plan.options.no_cache)


def prepared(engine: Engine, plan: Plan, report: ProgressReport) -> Prepared | None:
    """The plan's image with the steps in it, None where there is none.

    Raises:
        SpecInvalid: a secret is not there, or a source changed.
        StepFailed: a step did not come to its end; those before it are kept.
    """
    if plan.steps is None:
        return None
    from .spec.prepare import prepare_base

    return prepare_base(engine, plan, plan.steps, report)


def reused_steps(engine: Engine, plan: Plan) -> tuple[StepResult, ...]:
    """The results of a plan's steps where none had to be carried out."""
    if plan.steps is None:
        return ()
    from .spec.steps import reused_steps

    return reused_steps(engine, plan.steps, plan.image)
