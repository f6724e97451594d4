"""What steps come to on an image, before anything is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from tether_image_builder.errors import SpecInvalid
from tether_image_builder.spec import FileStep, Secret, ShellStep, Spec
from tether_image_builder.spec.plan import plan_steps, summary


def test_names_and_fingerprints_follow_each_other(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    steps = (ShellStep(commands="true"), FileStep(source="a", destination="/a"))
    plan = plan_steps(Spec(steps=steps, folder=tmp_path), "sha256:1")
    assert [step.number for step in plan.steps] == [1, 2]
    assert plan.steps[0].tag == f"tether-step:{plan.steps[0].fingerprint[:16]}"
    assert plan.fingerprint == plan.steps[1].fingerprint
    alone = plan_steps(Spec(steps=steps[:1], folder=tmp_path, tag="other/name:1"), "sha256:1")
    assert alone.steps == plan.steps[:1]
    assert plan_steps(Spec(), "sha256:1").fingerprint == ""


@pytest.mark.parametrize(
    "fields",
    [
        {"commands": "false"},
        {"commands": ("true",)},  # a list is run otherwise than a script
        {"user": "nobody"},
        {"workdir": "/srv"},
        {"env": {"A": "1"}},
        {"shell": "/bin/bash"},
        {"secrets": ("one",)},
    ],
)
def test_every_field_counts(fields: dict[str, object]) -> None:
    secrets = {"one": Secret(env="ONE"), "two": Secret(env="TWO")}
    plain = Spec(steps=(ShellStep(commands="true"),), secrets=secrets)
    other = Spec(steps=(ShellStep(**{"commands": "true", **fields}),), secrets=secrets)  # type: ignore[arg-type]
    assert plan_steps(plain, "1").fingerprint != plan_steps(other, "1").fingerprint


def test_of_a_secret_the_name_and_version_count_and_not_the_place() -> None:
    step = ShellStep(commands="true", secrets=("one",))

    def fingerprint(**fields: str) -> str:
        secrets = {"one": Secret(**fields), "two": Secret(env="TWO")}  # type: ignore[arg-type]
        return plan_steps(Spec(steps=(step,), secrets=secrets), "1").fingerprint

    assert fingerprint(env="A") == fingerprint(env="B") == fingerprint(file="c")
    assert fingerprint(env="A") != fingerprint(env="A", version="2")


def test_a_source_that_is_refused_is_named_with_its_step(tmp_path: Path) -> None:
    steps = (ShellStep(commands="true"), FileStep(source="missing", destination="/a"))
    with pytest.raises(SpecInvalid, match="step 2, field `source`: the source 'missing'") as caught:
        plan_steps(Spec(steps=steps, folder=tmp_path), "1")
    assert (caught.value.data["step"], caught.value.data["source"]) == (2, "missing")


def test_a_summary_is_the_first_line_that_says_something() -> None:
    assert summary("true") == "true"
    assert summary("\n# a comment\n  make all\nmake install\n") == "make all …"
    assert summary("# only a comment") == "# only a comment"
    assert summary("x" * 100) == "x" * 71 + "…"
    plan = plan_steps(Spec(steps=(ShellStep(commands=("a", "b\nc")),)), "1")
    assert plan.steps[0].what == "a; b …"
