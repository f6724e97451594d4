"""A spec's folder, and builds of steps alone: the client is put in elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import docker.errors
import pytest

from tether_image_builder.engine import Engine, connected
from tether_image_builder.models import BuildProgress, Image, ProgressReport
from tether_image_builder.spec import FileStep, ShellStep, Spec
from tether_image_builder.spec.access import Access, access_of_this_machine
from tether_image_builder.spec.plan import plan_steps
from tether_image_builder.spec.steps import Prepared, carry_out
from tether_image_builder.spec.workshop import Workshop

Steps = Callable[..., Prepared]


@pytest.fixture
def own_engine(client: docker.DockerClient) -> Iterator[Engine]:
    with connected(client) as engine:
        yield engine


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a spec."""
    folder = tmp_path / "spec"
    folder.mkdir()
    return folder


@pytest.fixture
def said() -> list[BuildProgress]:
    """What was reported."""
    return []


@pytest.fixture
def carried_out(
    own_engine: Engine, folder: Path, said: list[BuildProgress], names: list[str]
) -> Steps:
    """Carries out steps on an image; what they made is removed after the test."""

    def no_shell() -> str:
        raise AssertionError("the image has a shell of its own")

    def carried_out(
        base: str,
        *steps: FileStep | ShellStep,
        access: Access | None = None,
        own_environment: Callable[[], str] = no_shell,
        report: ProgressReport = said.append,
        no_cache: bool = False,
        **fields: Any,
    ) -> Prepared:
        image: Image | None = own_engine.find(base)
        assert image is not None
        spec = Spec(steps=steps, folder=folder, **fields)
        plan = plan_steps(spec, image.image_id)
        names.extend(step.tag for step in plan.steps if step.tag not in names)
        foreign = image.platform if image.platform != own_engine.platform else None
        lent = access or access_of_this_machine(None, {})
        workshop = Workshop(own_engine, plan, lent, own_environment, report, foreign)
        return carry_out(workshop, image, no_cache=no_cache)

    return carried_out
