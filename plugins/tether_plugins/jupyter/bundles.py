"""From what a kernel calls a MIME bundle to what one is: each form checked, bounded or left out."""

from __future__ import annotations

import base64
import binascii
import json
import mimetypes
import re
from collections.abc import Iterator
from typing import Any, Protocol

from pydantic import JsonValue
from pydantic_core import to_json

from tether_runtime_client.protocol.jupyter import MimeBundle, OmittedPart

from . import limits
from .text import cut, sane, sane_json

_MIME = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,60}/[A-Za-z0-9!#$&^_.+-]{1,64}")
_BINARY = re.compile(r"(image/(?!svg)|audio/|video/|font/).*|application/(pdf|octet-stream|zip)")


class Files(Protocol):
    """Where what is too large is kept."""

    def keep(self, name: str, data: bytes) -> str | None:
        """The path of a new file with that; None where it could not be kept."""


class _Unfit(ValueError):
    """A form that is not what its type says."""


class Bundler:
    """Makes bundles while there is room: `room` is what is left of it, in bytes."""

    def __init__(self, files: Files, room: int = limits.ROOM) -> None:
        self._files = files
        self.room = room

    def bundle(self, data: object, metadata: object) -> tuple[MimeBundle, int]:
        """A bundle, and the room that it has taken. Never fails, whatever it is given."""
        kept: dict[str, JsonValue] = {}
        omitted: list[OmittedPart] = []
        before = self.room
        for mime, value in _forms(data):
            try:
                self._take(mime, value, kept, omitted)
            except _Unfit as problem:
                self._leave_out(OmittedPart(mime=mime, size=0, reason=str(problem)), omitted)
        bundle = MimeBundle(data=kept, metadata=self._metadata(metadata), omitted=tuple(omitted))
        return bundle, before - self.room

    def _leave_out(self, part: OmittedPart, omitted: list[OmittedPart]) -> None:
        """One is said in any case."""
        if not omitted or self.room >= limits.PART:
            omitted.append(part)
            self.room -= min(self.room, limits.PART)

    def _metadata(self, metadata: object) -> dict[str, JsonValue]:
        if not isinstance(metadata, dict) or not metadata or not fits_json(metadata):
            return {}
        fit: dict[str, JsonValue] = sane_json(metadata)
        size = len(to_json(fit))
        if size > min(limits.METADATA, self.room):
            return {}
        self.room -= size
        return fit

    def _take(
        self, mime: str, value: Any, kept: dict[str, JsonValue], omitted: list[OmittedPart]
    ) -> None:
        fit, raw = _checked(mime, value)
        size = len(fit) if raw is not None and isinstance(fit, str) else len(to_json(fit))
        if size <= min(_most(mime), self.room):
            self.room -= size
            kept[mime] = fit
            return
        whole = raw if raw is not None else _as_bytes(fit)
        path = self._files.keep(f"display{_suffix(mime)}", whole)
        reason = "it is too large" if path is not None else "it is too large, and was not kept"
        part = OmittedPart(mime=mime, size=len(whole), path=path, reason=reason)
        self._leave_out(part, omitted)
        if mime == "text/plain" and isinstance(fit, str):
            short = cut(fit, limits.SHORT)
            size = len(to_json(short))
            if size <= self.room:
                kept[mime] = short
                self.room -= size


def _forms(data: object) -> Iterator[tuple[str, Any]]:
    if not isinstance(data, dict):
        return
    for number, (mime, value) in enumerate(data.items()):
        if number >= limits.FORMS:
            return
        if isinstance(mime, str) and _MIME.fullmatch(mime):
            yield mime.lower(), value


def _checked(mime: str, value: Any) -> tuple[JsonValue, bytes | None]:
    """The value as it travels, and for base64 the bytes that it stands for."""
    if isinstance(value, list) and value and all(isinstance(line, str) for line in value):
        value = "".join(value)  # as notebooks keep text
    if _BINARY.fullmatch(mime):
        return _binary(value)
    if isinstance(value, str):
        return sane(value), None
    if not fits_json(value):
        raise _Unfit(f"it is nested deeper than {limits.DEPTH}")
    return sane_json(value), None


def _binary(value: Any) -> tuple[str, bytes]:
    if not isinstance(value, str):
        raise _Unfit("it is no base64")
    try:
        raw = base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        raise _Unfit("it is no base64") from None
    return base64.b64encode(raw).decode("ascii"), raw


def fits_json(value: Any) -> bool:
    """Whether a value out of JSON is not nested too deep. Does not recurse itself."""
    level = [value]
    for _ in range(limits.DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return True
    return False


def _most(mime: str) -> int:
    return limits.PLAIN if mime == "text/plain" else limits.FORM


def _as_bytes(value: JsonValue) -> bytes:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "replace")


def _suffix(mime: str) -> str:
    known = {"text/plain": ".txt", "text/html": ".html", "text/latex": ".tex"}
    if mime.endswith(("/json", "+json")):
        return ".json"
    return known.get(mime) or mimetypes.guess_extension(mime, strict=False) or ".bin"
