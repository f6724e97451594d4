"""The runtime client's options, read once at the edge."""

from __future__ import annotations

import json
import math
import os
import sys
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

from .shell.config import Startup

CLIENT_USAGE = """
client options, after `--`:
  --unix PATH           listen on this UNIX socket
  --tcp HOST:PORT       listen on this address (port 0: any)
  --dial HOST:PORT      connect out to a server that listens there, for ever anew
  --dial-proxy URL      through this proxy, http://[USER:PASSWORD@]HOST:PORT (HTTP CONNECT)
  --dial-authority PEM  by TLS, trusting this authority alone (PEM in base64)
  --run-dir DIR         where journal and long outputs go; must outlive a restart
  --secret-lifetime S   take no new connection by a secret that is this many seconds old
  --lease SECONDS       end when no server was attached for this long
  --ready-fd N          write a line to this descriptor once listening
  --startup FILES       what sessions read first: bashrc, profile or none
  --bash PATH           the shell to use, instead of choosing one
  --bundled-bash PATH   the shell to fall back to
  --plugins DIR         where plugins are installed, each in a folder of its name
  --plugin-config JSON  their configuration by name, in base64
"""


class SettingsError(Exception):
    """The options cannot be understood; nothing was started."""


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Where to listen, where to keep things, when to give up."""

    run_dir: Path
    unix: Path | None = None
    tcp: str | None = None
    dial: str | None = None
    dial_proxy: str | None = None
    dial_authority: str | None = None
    lease: float | None = None
    secret_lifetime: float | None = None
    ready_fd: int | None = None
    startup: Startup = "bashrc"
    bash: str | None = None
    bundled_bash: str | None = None
    plugins: Path | None = None
    plugin_config: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def plugins_folder(self) -> Path:
        """Where plugins are installed: beside this Python, where nothing else is said."""
        return self.plugins or Path(sys.prefix) / "plugins"

    @property
    def state(self) -> Path:
        """The private part of the run directory."""
        return self.run_dir / "state"


def parse_settings(args: list[str]) -> ClientSettings:
    """Read the command line; raises `SettingsError` that names the option."""
    settings = ClientSettings(run_dir=Path())
    words = iter(args)
    for word in words:
        option, equals, value = word.partition("=")
        name = option.removeprefix("--").replace("-", "_")
        if not option.startswith("--") or name not in _CONVERT:
            raise SettingsError(f"unknown option {option!r}")
        text = value if equals else next(words, "")
        try:
            settings = replace(settings, **{name: _CONVERT[name](text)})
        except ValueError as problem:
            raise SettingsError(f"{option} cannot be {text!r}: {problem}") from None
    return _checked(settings)


def _text(text: str) -> str:
    if not text:
        raise ValueError("a value is missing")
    return text


def _path(text: str) -> Path:
    return Path(_text(text))


def _seconds(text: str) -> float:
    seconds = float(_text(text))
    if not (math.isfinite(seconds) and seconds > 0):
        raise ValueError("it has to be a number of seconds above 0")
    return seconds


def _descriptor(text: str) -> int:
    number = int(_text(text))
    if number < 0:
        raise ValueError("it has to be the number of a descriptor")
    return number


def _startup(text: str) -> str:
    if text not in get_args(Startup):
        raise ValueError(f"it has to be one of {', '.join(get_args(Startup))}")
    return text


def _tcp(text: str) -> str:
    """Only checked here; `split_address` takes it apart."""
    split_address(text)
    return text


def _proxy(text: str) -> str:
    url = urlsplit(_text(text))
    if url.scheme != "http" or not url.hostname or url.path not in ("", "/"):
        raise ValueError("it has to be http://[USER:PASSWORD@]HOST:PORT")
    url.port  # noqa: B018  raises ValueError for one out of range
    return text


def _base64(text: str) -> str:
    return b64decode(_text(text), validate=True).decode()


def _configuration(text: str) -> dict[str, dict[str, Any]]:
    """Only its outer form is checked: what is in it is for each plugin to read."""
    found = json.loads(_base64(text))
    if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
        raise ValueError("it has to be an object of objects")
    return found


_CONVERT: dict[str, Callable[[str], Any]] = {
    "run_dir": _path,
    "unix": _path,
    "tcp": _tcp,
    "dial": _tcp,
    "dial_proxy": _proxy,
    "dial_authority": _base64,
    "lease": _seconds,
    "secret_lifetime": _seconds,
    "ready_fd": _descriptor,
    "startup": _startup,
    "bash": _text,
    "bundled_bash": _text,
    "plugins": _path,
    "plugin_config": _configuration,
}


def split_address(text: str) -> tuple[str, int]:
    """`HOST:PORT`, an IPv6 address in brackets, as host and port; raises `ValueError`."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    number = int(port) if port.isascii() and port.isdigit() else -1
    if not host or not 0 <= number <= 65535:
        raise ValueError("it has to be HOST:PORT")
    return host, number


def _checked(settings: ClientSettings) -> ClientSettings:
    if settings.run_dir == Path():
        raise SettingsError("--run-dir is missing")
    if settings.unix is None and settings.tcp is None and settings.dial is None:
        raise SettingsError("one of --unix, --tcp and --dial is needed")
    if (settings.dial_proxy or settings.dial_authority) and settings.dial is None:
        raise SettingsError("--dial-proxy and --dial-authority are for --dial")
    return settings


def private_folder(path: Path) -> Path:
    """Make or check a folder that is ours alone; raises `SettingsError` when it cannot be that.

    Its parent may be a place where anybody can put things, so what is there already is looked at.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as problem:
        raise SettingsError(f"the run directory {path} cannot be made: {problem}") from None
    found = path.lstat()
    if path.is_symlink() or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise SettingsError(f"{path} exists and is not a private folder of ours")
    return path
