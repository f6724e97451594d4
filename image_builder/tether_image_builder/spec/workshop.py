"""What steps are carried out with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..models import BuildProgress, ProgressReport
from .access import Access
from .plan import PlannedStep, StepPlan

if TYPE_CHECKING:
    from ..engine import Engine


@dataclass(frozen=True)
class Workshop:
    """What steps are carried out with.

    Attributes:
        engine: where.
        plan: all of them.
        access: this machine's way to package archives.
        own_environment: gives the name of a volume with the runtime environment, for the sake of
            its shell; asked only where an image has none.
        report: is told about each step, and each line that one prints.
        platform: what the image runs on, where that is not what the engine runs on.
    """

    engine: Engine
    plan: StepPlan
    access: Access
    own_environment: Callable[[], str]
    report: ProgressReport
    platform: str | None = None

    def say(self, planned: PlannedStep, line: str) -> None:
        """Reports something about a step."""
        self.report(BuildProgress("steps", line, planned.number, len(self.plan.steps)))
