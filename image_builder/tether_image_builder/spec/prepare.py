"""Where a build meets its spec: what is decided before, and what is done first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..models import BuildProgress, ProgressReport
from ..volume import ensure_volume
from .access import access_of_this_machine
from .errors import findings_forbidden
from .lint import lint
from .model import Spec
from .steps import Prepared, carry_out
from .workshop import Workshop

if TYPE_CHECKING:
    from ..engine import Engine
    from ..plan import Plan
    from .plan import StepPlan


def check(spec: Spec, report: ProgressReport, *, strict: bool) -> None:
    """Reports what the linter finds.

    Raises:
        SpecInvalid: it found something, and is to be strict.
    """
    findings = lint(spec)
    if findings and strict:
        raise findings_forbidden(findings)
    for finding in findings:
        report(BuildProgress("steps", f"[Warning] {finding}"))


def prepare_base(engine: Engine, plan: Plan, steps: StepPlan, report: ProgressReport) -> Prepared:
    """The plan's image with the steps in it. The runtime environment has to be there.

    Raises:
        SpecInvalid: a secret is not there, or a source changed.
        StepFailed: a step did not come to its end; those before it are kept.
    """

    def own_environment() -> str:
        return ensure_volume(engine, plan.recipe.described, report)

    options = plan.options
    access = access_of_this_machine(options.ca_certificate, options.arguments)
    foreign = plan.image.platform if plan.image.platform != engine.platform else None
    workshop = Workshop(engine, steps, access, own_environment, report, foreign)
    return carry_out(workshop, plan.image, no_cache=options.no_cache)
