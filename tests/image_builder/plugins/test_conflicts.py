"""Plugins that do not go together."""

from __future__ import annotations

from typing import Any

import pytest

from tether_image_builder.plugins.conflicts import check_together
from tether_runtime_client.plugin.declaration import Declaration
from tether_runtime_client.protocol.errors import PluginInvalid


def declared(name: str, **fields: Any) -> Declaration:
    return Declaration(name=name, door=fields.pop("door", 1), entry="a.b:C", **fields)


def test_different_ones_go_together() -> None:
    check_together([("A", declared("a", ports={"x": 1, "y": 1})), ("B", declared("b"))])


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"name": "a"}, "the plugin name 'a'"),
        ({"name": "b", "ports": {"z": 8000}}, "the port 8000"),
        ({"name": "b", "commands": {"look": "a:b"}}, "the command 'look'"),
    ],
)
def test_what_only_one_may_have(fields: dict[str, Any], what: str) -> None:
    first = declared("a", ports={"x": 8000}, commands={"look": "a:b"})
    with pytest.raises(PluginInvalid, match=f"^A and A both have {what}"):
        check_together([("A", first), ("A", declared(**fields))])


def test_an_action_of_a_plugin_of_the_same_name() -> None:
    """Kinds begin with the plugin's name, so this is told as what it is: the name."""
    action = {"a.b": {"model": "a:B", "observation": "a:C"}}
    with pytest.raises(PluginInvalid, match="the plugin name 'a'"):
        check_together([(each, declared("a", actions=action)) for each in ("A", "B")])


def test_another_door() -> None:
    with pytest.raises(PluginInvalid, match="version 2 of the plugin interface"):
        check_together([("A", declared("a", door=2))])
