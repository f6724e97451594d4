"""Plugins that a spec names."""

from __future__ import annotations

from pathlib import Path

from tether_image_builder.spec import load_spec
from tether_image_builder.with_plugins import asked_plugins

from .conftest import PROBE, Install


def test_they_come_beside_those_of_the_call(install: Install, tmp_path: Path) -> None:
    install("lamp")
    install("oven")
    (tmp_path / "probe").symlink_to(PROBE)
    file = tmp_path / "task.toml"
    file.write_text('plugins = ["lamp"]\nplugin_packages = ["./probe", "kettle==1"]\n')
    found = asked_plugins(load_spec(file), ["oven"], [])
    assert [source.slug for source in found] == ["kettle", "lamp", "oven", "probe"]
