"""What an image says of its plugins comes back as it was."""

from __future__ import annotations

import pytest

from tether_image_builder.plugins.labels import (
    LabelledPlugin,
    plugin_labels,
    plugins_in,
    readable_plugins,
)
from tether_runtime_client.plugin.declaration import Declaration
from tether_runtime_client.plugin.installed import InstalledPlugin
from tether_runtime_client.protocol.errors import PluginInvalid


def labelled(name: str) -> LabelledPlugin:
    declaration = Declaration(name=name, door=1, summary='a $ " \\ b')
    installed = InstalledPlugin(declaration=declaration, version="1.0")
    return LabelledPlugin(installed=installed, image=f"{name}:1", fingerprint=name, bytes=5)


def test_there_and_back() -> None:
    labels = plugin_labels([labelled("b"), labelled("a")])
    assert plugins_in(labels) == (labelled("a"), labelled("b"))
    assert (labels["tether.plugin.a"], labels["tether.plugin.b"]) == ("1.0", "1.0")
    assert plugin_labels([]) == {}
    assert plugins_in({}) == ()


def test_a_label_of_something_else() -> None:
    labels = {"tether.plugins": '[{"a": 1}]'}
    with pytest.raises(PluginInvalid, match=r"tether\.plugins cannot be read"):
        plugins_in(labels)
    assert readable_plugins(labels) == ()
