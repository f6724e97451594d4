"""Which browser is taken, and what it and its driver are given of the image's variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from tether_plugins.browser.config import BrowserConfig
from tether_plugins.browser.place import driver_environment, find_executable, find_place
from tether_runtime_client.plugin import PluginPlaces
from tether_runtime_client.protocol.errors import BrowserNotStarted

IMAGES = {"LD_LIBRARY_PATH": "/lib", "NODE_OPTIONS": "--require x", "LANG": "C.UTF-8"}


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def places(tmp_path: Path) -> PluginPlaces:
    prefix, state = tmp_path / "prefix", tmp_path / "state"
    state.mkdir()
    program(prefix / "chromium" / "chromium-headless-shell")
    return PluginPlaces(prefix, state, tmp_path, tmp_path, tmp_path)


def test_what_the_plugin_brought_has_libraries_and_fonts_of_its_own(
    places: PluginPlaces,
) -> None:
    place = find_place(BrowserConfig(), places, {**IMAGES, "PATH": "/usr/bin"})
    chromium = f"{places.prefix}/chromium"
    assert place.executable == f"{chromium}/chromium-headless-shell"
    given = place.environment
    assert given["LD_LIBRARY_PATH"] == f"{chromium}/lib"
    assert given["FONTCONFIG_FILE"] == f"{chromium}/fonts.conf"
    assert (given["HOME"], given["LANG"]) == (f"{places.state}/home", "C.UTF-8")
    assert "NODE_OPTIONS" not in given
    driver = driver_environment(places, IMAGES)
    assert driver["PLAYWRIGHT_NODEJS_PATH"] == f"{chromium}/node"
    assert driver["PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD"] == "1"
    assert driver.keys() & IMAGES.keys() == {"LANG"}


def test_the_images_own_keeps_its_variables(places: PluginPlaces, tmp_path: Path) -> None:
    own = program(tmp_path / "bin" / "chromium")
    path = {**IMAGES, "PATH": str(own.parent)}
    for wanted in ("image", "chromium", str(own)):
        place = find_place(BrowserConfig(executable=wanted), places, path)
        assert place.executable == str(own)
        assert place.environment["LD_LIBRARY_PATH"] == "/lib"
        assert "FONTCONFIG_FILE" not in place.environment


def test_a_place_without_one_says_what_can_be_done(tmp_path: Path) -> None:
    with pytest.raises(BrowserNotStarted, match=r"chromium, .* here\. Build the plugin") as failed:
        find_executable("auto", None, {"PATH": str(tmp_path)})
    assert "cdp_url" in failed.value.hint


@pytest.mark.parametrize(
    ("wanted", "flag"), [("off", ("--no-sandbox", "--disable-dev-shm-usage")), ("on", ())]
)
def test_flags_say_whether_there_is_a_sandbox(
    places: PluginPlaces, wanted: str, flag: tuple[str, ...]
) -> None:
    config = BrowserConfig.model_validate({"sandbox": wanted})
    place = find_place(config, places, {})
    assert place.confined is (wanted == "on")
    assert place.flags == (flag or ("--disable-dev-shm-usage",))
    assert place.confinement == f"{wanted}, as configured"
