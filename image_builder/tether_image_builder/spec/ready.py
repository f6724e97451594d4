"""What would fail a step, looked for before the first one is carried out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from .copying import destination_folder
from .errors import destination_is_folder
from .model import FileStep, ShellStep
from .places import places
from .plan import PlannedStep, StepPlan
from .secrets import read_secret
from .sources import placed_name

if TYPE_CHECKING:
    from ..engine import Engine


def check_secrets(plan: StepPlan, steps: tuple[PlannedStep, ...]) -> None:
    """Whether those steps of a plan can be given the secrets that they name.

    Raises:
        SpecInvalid: one of them cannot be had.
    """
    wanted = [step.step.secrets for step in steps if isinstance(step.step, ShellStep)]
    for name in dict.fromkeys(name for names in wanted for name in names):
        read_secret(plan.spec, name)


def check_places(engine: Engine, plan: StepPlan, image_id: str) -> None:
    """Whether files go where the image has no folder, as far as no command runs before them.

    What stands behind a command is looked at when its turn comes: the command may change it.

    Raises:
        SpecInvalid: a file would take the place of a folder.
    """
    refuse_folders(engine, tuple(_before_commands(plan)), image_id)


def refuse_folders(engine: Engine, steps: tuple[PlannedStep, ...], image_id: str) -> None:
    """Whether the files of steps go where an image has no folder; links are followed.

    The engine's builder would remove the folder, with all that is in it, and say nothing.

    Raises:
        SpecInvalid: a file would take the place of a folder.
    """
    wanted = [(step, place) for step in steps if (place := _file_place(step)) is not None]
    if not wanted:
        return
    with places(engine.api, image_id) as there:
        for planned, place in wanted:
            if there.is_folder(place):
                raise destination_is_folder(planned.number, place)


def _before_commands(plan: StepPlan) -> Iterator[PlannedStep]:
    for planned in plan.steps:
        if isinstance(planned.step, ShellStep):
            return
        yield planned


def _file_place(planned: PlannedStep) -> str | None:
    """Where a single file goes; None for all else."""
    step, content = planned.step, planned.content
    if not isinstance(step, FileStep) or content is None or content.is_folder:
        return None
    return str(PurePosixPath(destination_folder(step, is_folder=False), placed_name(step)))
