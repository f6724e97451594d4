"""Which Chromium, and what the place that it runs in asks for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tether_runtime_client.plugin import PluginPlaces
from tether_runtime_client.protocol.errors import BrowserNotStarted

from .config import BrowserConfig

PROGRAMS = (
    "chromium-headless-shell",
    "headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
)
FOLDERS = {
    "HOME": "home",
    "TMPDIR": "tmp",
    "XDG_CACHE_HOME": "cache",
    "XDG_CONFIG_HOME": "config",
}
BREAKING = ("LD_", "NODE_", "PLAYWRIGHT_", "PW_", "PWDEBUG", "GLIBC_", "MALLOC_", "GTK_", "DEBUG")
"""Variables of an image that are about its own libraries, or would change what drives ours."""

_ALWAYS = ("--disable-dev-shm-usage",)
"""Containers have 64 MB of it, if they have any."""

_NEW_NAMESPACES = "import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare(0x70000000) != 0)"
"""A user, a PID and a network namespace, as Chromium's sandbox makes them."""


@dataclass(frozen=True, slots=True)
class Place:
    """How Chromium is started.

    Attributes:
        executable: its program.
        environment: its variables.
        confined: whether it has its sandbox; `confinement` says so in words.
        flags: those that the place asks for.
    """

    executable: str
    environment: dict[str, str]
    confined: bool
    confinement: str
    flags: tuple[str, ...]


def find_place(
    config: BrowserConfig, places: PluginPlaces, environment: Mapping[str, str]
) -> Place:
    """Raises `BrowserNotStarted` where there is no such program."""
    brought = brought_folder(places)
    if config.sidecar_url is not None and brought is not None:
        return _place_of_sidecar(config, brought)
    executable = find_executable(config.executable, brought, environment)
    folders = own_folders(places.state)
    own = {**environment, **folders}
    if brought is not None and executable.is_relative_to(brought):
        own = {
            **_harmless(own),
            "LD_LIBRARY_PATH": str(brought / "lib"),
            "FONTCONFIG_FILE": str(brought / "fonts.conf"),
        }
    confined, confinement = _confinement(config.sandbox)
    return Place(
        executable=str(executable),
        environment=own,
        confined=confined,
        confinement=confinement,
        flags=(*_needed(confined), *_ALWAYS),
    )


def _needed(confined: bool) -> tuple[str, ...]:
    return () if confined else ("--no-sandbox",)


def _place_of_sidecar(config: BrowserConfig, brought: Path) -> Place:
    """Another container, which has the plugin's own things at the same path and no others."""
    confined = config.sandbox == "on"
    off = "off, as configured" if config.sandbox == "off" else "off: its own container confines it"
    return Place(
        executable=str(brought / PROGRAMS[0]),
        environment={},
        confined=confined,
        confinement="on, as configured" if confined else off,
        flags=(*_needed(confined), *_ALWAYS),
    )


def driver_environment(places: PluginPlaces, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of the process that drives the browser. It never downloads anything."""
    own = {
        **_harmless(environment),
        **own_folders(places.state),
        "PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD": "1",
    }
    brought = brought_folder(places)
    return own if brought is None else {**own, "PLAYWRIGHT_NODEJS_PATH": str(brought / "node")}


def brought_folder(places: PluginPlaces) -> Path | None:
    """Where `setup` has left Chromium and node; None with `backend="local"`."""
    return places.prefix / "chromium" if places.prefix is not None else None


def _harmless(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith(BREAKING)}


def find_executable(wanted: str, brought: Path | None, environment: Mapping[str, str]) -> Path:
    """The program that a configuration means."""
    own = brought / PROGRAMS[0] if brought is not None else None
    if wanted == "auto" and own is not None and own.exists():
        return own
    names = PROGRAMS if wanted in ("auto", "image") else (wanted,)
    for name in names:
        found = shutil.which(name, path=environment.get("PATH"))
        if found is not None:
            return Path(found)
    raise BrowserNotStarted(
        f"there is no browser {', '.join(names)} here",
        hint="Build the plugin into the image (runtime-build IMAGE --plugins browser), install"
        " Chromium in it, or set `executable` or `cdp_url`",
    )


def own_folders(state: Path) -> dict[str, str]:
    """Where Chromium and its driver may write: nothing else has to be writable."""
    folders = {variable: state / name for variable, name in FOLDERS.items()}
    for folder in folders.values():
        folder.mkdir(mode=0o700, exist_ok=True)
    return {variable: str(folder) for variable, folder in folders.items()}


def _confinement(wanted: str) -> tuple[bool, str]:
    if wanted == "off":
        return False, "off, as configured"
    if wanted == "on":
        return True, "on, as configured"
    if os.geteuid() == 0:
        return False, "off: Chromium has none for root"
    done = subprocess.run([sys.executable, "-I", "-c", _NEW_NAMESPACES], capture_output=True)
    if done.returncode:
        return False, "off: user namespaces are forbidden here"
    return True, "on"
