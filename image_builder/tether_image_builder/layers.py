"""What lies in an image on top of the one that it was made from, and who put it there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any

from .models import Layer, Part, Step
from .render import CODE, PLUGINS, PREFIX

_DESTINATION = re.compile(r"COPY .* in (\S+)\s*")
_FRAME = re.compile(r"^/bin/sh -c (#\(nop\)\s*)?")


def layers_on_top(
    history: Sequence[Mapping[str, Any]], base_id: str, steps: Iterable[Step]
) -> tuple[Layer, ...]:
    """The layers above an image, the lowest first.

    Args:
        history: the engine's account of the upper image, the newest entry first.
        base_id: the lower image. Where the history does not know it, as after a pull, only what
            is the client's own is found.
        steps: what was done in this call; what is not among it was there already.
    """
    above = list(takewhile(lambda entry: entry["Id"] != base_id, history))
    if len(above) == len(history):
        above = [entry for entry in above if _part(entry) != "user"]
    done = {step.image_id: step for step in steps if step.image_id and not step.reused}
    return tuple(_layer(entry, done) for entry in reversed(above) if _is_layer(entry))


def _is_layer(entry: Mapping[str, Any]) -> bool:
    """Instructions without an effect on files say so themselves, and have no size."""
    return bool(entry["Size"]) or "#(nop)" not in entry["CreatedBy"]


def _part(entry: Mapping[str, Any]) -> Part:
    found = _DESTINATION.fullmatch(_instruction(entry))
    destination = found[1] if found else ""
    if destination == CODE:
        return "code"
    if f"{destination}/".startswith(f"{PLUGINS}/"):
        return "plugin"
    return "environment" if f"{destination}/".startswith(f"{PREFIX}/") else "user"


def _layer(entry: Mapping[str, Any], done: Mapping[str, Step]) -> Layer:
    digits = str(entry["Id"]).removeprefix("sha256:")
    step = next((done[short] for short in done if digits.startswith(short)), None)
    return Layer(
        part=_part(entry),
        instruction=_instruction(entry),
        reused=step is None,
        seconds=step.seconds if step is not None else 0.0,
        bytes=entry["Size"],
    )


def _instruction(entry: Mapping[str, Any]) -> str:
    said = entry["CreatedBy"] or entry.get("Comment") or ""  # what a step made has a comment only
    return _FRAME.sub("", said).strip()
