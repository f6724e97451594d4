from __future__ import annotations

from tether_image_builder.models import BuildProgress
from tether_image_builder.stream import StepProgress, TransferProgress


def test_steps_and_sizes_are_told() -> None:
    told: list[BuildProgress] = []
    progress = StepProgress("build", told.append)
    for line in ["Step 2/5 : COPY a b", " ---> Using cache", "size of all: 1.0 MB"]:
        progress.take(line)
    assert told == [
        BuildProgress("build", "COPY a b", 2, 5),
        BuildProgress("build", "size of all: 1.0 MB"),
    ]


def test_a_long_step_is_cut() -> None:
    told: list[BuildProgress] = []
    StepProgress("build", told.append).take(f"Step 1/1 : RUN {'x' * 200}")
    assert len(str(told[0])) == 61


def test_the_steps_that_are_done_are_kept() -> None:
    progress = StepProgress("build", lambda _: None)
    lines = ["Step 1/3 : FROM x", " ---> 0123456789ab", "Step 2/3 : COPY a b", " ---> Using cache"]
    lines += [" ---> abcdef012345", "Step 3/3 : RUN true", " ---> Running in 999999999999"]
    for line in lines:
        progress.take(line)
    assert progress.running == "999999999999"
    progress.end()  # interrupted: the third step is not done
    assert [(step.image_id, step.reused) for step in progress.steps] == [
        ("0123456789ab", False),
        ("abcdef012345", True),
    ]


def test_layers_of_a_transfer_are_added_up() -> None:
    told: list[BuildProgress] = []
    progress = TransferProgress("pulling app", "pull", told.append)
    for layer, current in (("a", 1), ("b", 2), ("a", 5), ("a", 11)):
        detail = {"current": current, "total": 10}
        progress.take({"status": "Downloading", "id": layer, "progressDetail": detail})
    progress.take({"status": "Pull complete", "id": "a", "progressDetail": {}})
    assert [(step.current, step.total) for step in told] == [(1, 10), (3, 20), (7, 20), (12, 20)]


def test_a_registry_that_fails_is_said_to() -> None:
    told: list[BuildProgress] = []
    progress = TransferProgress("pushing app", "push", told.append)
    progress.take({"status": "Retrying in 5 seconds", "progressDetail": {}, "id": "a"})
    assert str(told[0]) == "pushing app: the registry fails, retrying"
