"""What the build stage of an environment begins with: a plain image that is here, or made here."""

from __future__ import annotations

import re
import subprocess

from . import recipes
from .engine import Engine, EngineRefusal
from .errors import environment_unavailable
from .models import BuildProgress, ProgressReport

PULL_SILENCE_S = 20.0
OWN_BASE = "tether-test/debian:{suite}"

_PLAIN_DEBIAN = re.compile(r"debian:([a-z]+)-slim")


def stage_base(engine: Engine, name: str, base: str, report: ProgressReport) -> str:
    """The image `base`: the one that is here, else pulled; a plain Debian else out of packages.

    Raises:
        EnvironmentUnavailable: it can be had in none of these ways.
    """
    if engine.find(base) is not None:
        return base
    report(BuildProgress("environment", f"pulling {base}"))
    try:
        engine.pull(base, report, phase="environment", silence_s=PULL_SILENCE_S)
    except EngineRefusal as problem:
        return _own(engine, name, base, f"{base} cannot be pulled ({problem.reason})", report)
    return base


def suite_of(base: str) -> str:
    """The Debian suite that an image's name says, `bookworm` where it says none."""
    found = re.search(r"debian:([a-z]+)", base)
    return found[1] if found else "bookworm"


def is_debian(base: str) -> bool:
    """Whether an image's name says that it is Debian's."""
    return re.search(r"debian:[a-z]+", base) is not None


def _own(engine: Engine, name: str, base: str, problem: str, report: ProgressReport) -> str:
    plain = _PLAIN_DEBIAN.fullmatch(base)
    if plain is None:
        raise environment_unavailable(name, problem, ())
    report(BuildProgress("environment", f"{problem}; making a plain Debian from packages"))
    own = OWN_BASE.format(suite=plain[1])
    if engine.find(own) is None:
        _make(name, plain[1], problem)
    return own


def _make(name: str, suite: str, problem: str) -> None:
    script = recipes.recipes_folder() / "images" / "make-image"
    result = subprocess.run(
        [script, f"debian:{suite}"], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if result.returncode:
        reason = f"{problem}; a plain Debian cannot be made here either"
        raise environment_unavailable(name, reason, result.stderr.splitlines()[-10:])
