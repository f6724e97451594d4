"""The JSON schema of everything that crosses the wire, for `schema.json` beside this file.

    python -m tests.runtime_client.protocol.schema

writes it anew. Whoever does that has changed the wire format: `PROTOCOL_VERSION` goes up with it
unless no release has carried the present number yet.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tether_runtime_client.protocol.bulk import bulk_adapter
from tether_runtime_client.protocol.frames import from_client_adapter, from_server_adapter
from tether_runtime_client.protocol.limits import MAX_FRAME, PROTOCOL_VERSION

GOLDEN = Path(__file__).with_name("schema.json")


def schema() -> dict[str, Any]:
    """What both directions and the bulk connections take, without the prose."""
    frames = {
        "from_client": from_client_adapter,
        "from_server": from_server_adapter,
        "bulk": bulk_adapter,
    }
    return {
        "version": PROTOCOL_VERSION,
        "max_frame": MAX_FRAME,
        **{name: _without_prose(adapter.json_schema()) for name, adapter in frames.items()},
    }


def _without_prose(value: Any) -> Any:
    """Docstrings and derived titles may change without a change on the wire."""
    if isinstance(value, list):
        return [_without_prose(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _without_prose(item)
        for key, item in value.items()
        if not (key in ("description", "title") and isinstance(item, str))
    }


def render() -> str:
    """The file's text."""
    return json.dumps(schema(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    GOLDEN.write_text(render())
