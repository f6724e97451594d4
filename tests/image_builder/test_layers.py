from __future__ import annotations

from typing import Any

from tether_image_builder.layers import layers_on_top
from tether_image_builder.models import Step

BASE = "sha256:" + "0" * 64


def entry(digit: str, made_by: str, size: int) -> dict[str, Any]:
    return {"Id": f"sha256:{digit * 64}", "CreatedBy": f"/bin/sh -c {made_by}", "Size": size}


HISTORY = [
    entry("5", '#(nop)  ENTRYPOINT ["/x"]', 0),
    entry("4", "#(nop) COPY dir:abc in /opt/tether/code ", 7),
    entry("3", "#(nop) COPY dir:def in /opt/tether ", 50),
    entry("2", "mkdir /empty", 0),
    entry("1", "#(nop) COPY file:123 in /opt/tether-else ", 3),
    {"Id": BASE, "CreatedBy": "", "Size": 100},
    entry("f", "apt-get update", 9),
]


def test_layers_from_below_and_whose_they_are() -> None:
    layers = layers_on_top(HISTORY, BASE, [])
    assert [(layer.part, layer.bytes) for layer in layers] == [
        ("user", 3),
        ("user", 0),
        ("environment", 50),
        ("code", 7),
    ]
    assert all(layer.reused and layer.seconds == 0 for layer in layers)
    assert layers[1].instruction == "mkdir /empty"


def test_what_was_done_in_this_call_has_its_time() -> None:
    steps = [Step("COPY x", "3" * 12, True, 1.0), Step("COPY y", "4" * 12, False, 2.0)]
    layers = layers_on_top(HISTORY, BASE, steps)
    assert [(layer.part, layer.seconds) for layer in layers if not layer.reused] == [("code", 2.0)]


def test_without_the_lower_image_s_id_only_the_client_s_own_is_known() -> None:
    history = [{**each, "Id": "<missing>"} for each in HISTORY]
    assert [layer.part for layer in layers_on_top(history, BASE, [])] == ["environment", "code"]
