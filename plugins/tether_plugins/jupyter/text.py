"""Text as it comes from a kernel: any characters, any length."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from tether_runtime_client.protocol.render import omission, render


def sane(text: str) -> str:
    """The same without what is no Unicode: half of a surrogate pair becomes a question mark."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def sane_json(value: Any) -> Any:
    """The same for all texts in a value out of JSON that is not nested deep."""
    try:
        to_json(value)
    except PydanticSerializationError:
        return json.loads(sane(json.dumps(value, ensure_ascii=False)))
    return value


def cut(text: str, limit: int) -> str:
    """At most about `limit` characters: in the middle of a longer text is how much is missing."""
    if len(text) <= limit:
        return text
    half = limit // 2
    missing = len(text[half:-half].encode("utf-8", "replace"))
    return text[:half] + omission(missing).decode() + text[-half:]


def plain(text: str) -> str:
    """Without control sequences, progress lines as they ended."""
    return render(text.encode("utf-8", "replace"))


def field(content: dict[str, object], name: str, limit: int) -> str:
    """A text out of a message, cut to a length; empty where it is none."""
    value = content.get(name)
    return cut(sane(value), limit) if isinstance(value, str) else ""
