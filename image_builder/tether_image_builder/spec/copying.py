"""A file step as the engine's builder is asked for it: it finds owners by name in the image."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

from .. import classic
from ..models import Step, ignore_progress
from .sources import ROOT

if TYPE_CHECKING:
    from ..engine import Engine
    from .model import FileStep

_SPECIAL = ("\\", '"', "'", "$")  # to the builder, also within JSON


@dataclass(frozen=True)
class CopyOrder:
    """A build of one COPY."""

    dockerfile: bytes
    tag: str

    def build(self, engine: Engine, context: BinaryIO, platform: str | None) -> tuple[Step, ...]:
        """Builds a context that `sources.write_archive` wrote; gives what it did to the image.

        Args:
            engine: where.
            context: read from where it stands.
            platform: what the image runs on, None for what the engine runs on.

        Raises:
            EngineRefusal: it could not be built.
        """
        order = classic.Order(context, self.tag, platform=platform, no_cache=True)
        done = classic.build(engine.api, order, ignore_progress, phase="steps")
        return tuple(step for step in done if not step.instruction.startswith("FROM "))


def copy_order(
    step: FileStep, is_folder: bool, image_id: str, tag: str, labels: Mapping[str, str]
) -> CopyOrder:
    """The build of a file step on an image.

    What is copied is always a folder, into a folder: so the file gets the name that the step says,
    whatever is there, and folders that are there keep their owner and permissions.
    """
    into = destination_folder(step, is_folder=is_folder)
    owner = f"--chown={step.owner} " if step.owner else ""
    words = json.dumps([ROOT, escaped(into)])
    marks = " ".join(f'"{name}"="{value}"' for name, value in sorted(labels.items()))
    lines = [f"FROM {image_id}", f"COPY {owner}{words}", f"LABEL {marks}", ""]
    return CopyOrder("\n".join(lines).encode(), tag)


def destination_folder(step: FileStep, *, is_folder: bool) -> str:
    """The folder that things are put into, with a slash behind it."""
    keeps_name = is_folder or step.destination.endswith("/")
    path = PurePosixPath(step.destination)
    folder = path if keeps_name else path.parent
    return f"{folder}/".replace("//", "/")


def escaped(path: str) -> str:
    """A path in which the builder finds no variables and no quotes."""
    for special in _SPECIAL:
        path = path.replace(special, "\\" + special)
    return path
