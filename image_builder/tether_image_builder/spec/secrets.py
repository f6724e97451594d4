"""Secrets that steps are given: where they come from, and how they stay out of what is said."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from ..classic import plain
from .errors import secret_missing
from .model import Secret, Spec

MAX_SECRET = 1 << 20
HIDDEN = "[secret]"
SHORTEST_SOUGHT = 8
_SHORTEST_LINE = 6  # what is shorter is in every other word, and tells little


def read_secret(spec: Spec, name: str) -> bytes:
    """A secret's value.

    Raises:
        SpecInvalid: it is not there; nothing of any value is in the error.
    """
    secret = spec.secrets[name]
    try:
        value = _value(spec.folder, secret)
    except OSError as problem:
        raise secret_missing(name, f"{secret.file}: {problem.strerror}") from None
    if value is None:
        raise secret_missing(name, f"the variable {secret.env} is not set")
    if not value:
        raise secret_missing(name, "it is empty")
    if len(value) > MAX_SECRET:
        raise secret_missing(name, f"it has more than {MAX_SECRET:,} bytes")
    return value


def _value(folder: Path, secret: Secret) -> bytes | None:
    if secret.file is None:
        found = os.environ.get(str(secret.env))
        return None if found is None else os.fsencode(found)
    with (folder / Path(secret.file).expanduser()).open("rb") as file:
        return file.read(MAX_SECRET + 1)


def where(secret: Secret) -> str:
    """Where a secret comes from, for people."""
    return f"the variable {secret.env}" if secret.file is None else f"the file {secret.file}"


class Redactor:
    """Takes secrets out of text, also in the forms that programs print them in."""

    def __init__(self, values: Iterable[bytes]) -> None:
        forms = {form for value in values for form in _forms(value)}
        self._forms = sorted(forms, key=lambda form: (-len(form), form))

    @property
    def longest(self) -> int:
        """The length of the longest form of a secret."""
        return len(self._forms[0]) if self._forms else 0

    def __call__(self, text: str) -> str:
        for form in self._forms:
            text = text.replace(form, HIDDEN)
        return text


def _forms(value: bytes) -> set[str]:
    whole = {value, value.strip()} - {b""}
    lines = {line.strip() for line in value.splitlines() if len(line.strip()) >= _SHORTEST_LINE}
    texts = {part.decode(errors="replace") for part in whole | lines}
    texts |= {shown for text in texts if (shown := plain(text).rstrip())}
    encoded = {quote(text, safe="") for text in texts} | {json.dumps(text)[1:-1] for text in texts}
    for part in whole:
        encoded |= {part.hex(), *(form.decode() for form in base64_forms(part))}
    return texts | encoded


def base64_forms(value: bytes) -> set[bytes]:
    """A value in base64, wherever in a longer text it stands: its first and last digit may differ.

    It stands at the first, second or third of three bytes, which are four digits together.
    """
    found = set()
    for before, hidden in enumerate((0, 2, 3)):
        text = base64.b64encode(bytes(before) + value)
        digits = text.rstrip(b"=")
        end = len(digits) - (1 if digits != text else 0)
        found |= {digits[hidden:end], digits[hidden:end].replace(b"+", b"-").replace(b"/", b"_")}
    return {form for form in found if len(form) >= _SHORTEST_LINE}


def readable_forms(value: bytes) -> frozenset[bytes]:
    """What to look for in files; nothing for a value so short that it may stand there by chance."""
    plain = value.strip()
    return (
        frozenset({plain} | base64_forms(plain)) if len(plain) >= SHORTEST_SOUGHT else frozenset()
    )
