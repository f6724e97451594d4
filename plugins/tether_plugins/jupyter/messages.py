"""Jupyter's messages as they come from a kernel: signed, of any content."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any

_DELIMITER = b"<IDS|MSG>"
_PARTS = 4
_KNOWN = frozenset(
    [
        *("status", "execute_input", "stream", "display_data", "execute_result", "error"),
        *("update_display_data", "clear_output", "input_request", "execute_reply"),
        *("kernel_info_reply", "complete_reply", "inspect_reply", "shutdown_reply"),
    ]
)


@dataclass(frozen=True, slots=True)
class Message:
    """What is read of one. `parent` is the id of the request that it is about, or empty."""

    kind: str
    parent: str
    content: dict[str, Any]


class Reader:
    """Takes messages apart. jupyter_client's own reading makes dates of all that looks like one."""

    def __init__(self, key: bytes) -> None:
        self._mac = hmac.new(key, digestmod=hashlib.sha256)

    def read(self, frames: list[bytes]) -> Message | None:
        """None for what is no message, is not signed, or is of a kind that nobody asks for."""
        try:
            start = frames.index(_DELIMITER) + 2
        except ValueError:
            return None
        parts = frames[start : start + _PARTS]
        if len(parts) < _PARTS or not self._is_signed(frames[start - 1], parts):
            return None
        kind = _parsed(parts[0]).get("msg_type")
        if not isinstance(kind, str) or kind not in _KNOWN:
            return None
        parent = _parsed(parts[1]).get("msg_id")
        return Message(kind, parent if isinstance(parent, str) else "", _parsed(parts[3]))

    def _is_signed(self, signature: bytes, parts: list[bytes]) -> bool:
        mac = self._mac.copy()
        for part in parts:
            mac.update(part)
        return hmac.compare_digest(mac.hexdigest().encode(), signature)


def _parsed(data: bytes) -> dict[str, Any]:
    """A JSON object; an empty one for anything else."""
    try:
        found = json.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
