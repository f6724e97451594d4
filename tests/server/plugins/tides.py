"""A plugin of a stranger, as pip installs it: `tides`, which knows when the water is high."""

from __future__ import annotations

import socket
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tether_server.plugins import typed
from tether_server.plugins.message_classes import installed_classes

DECLARATION = """
name = "tides"
summary = "Knows when the water is high."
door = 1
entry = "some_tides.plugin:Tides"
config = "some_tides.messages:TidesConfig"
skills = ["some_tides.skills"]
[actions."tides.look"]
model = "some_tides.messages:LookAction"
observation = "some_tides.messages:LookObservation"
[actions."tides.raw"]
model = "some_tides.messages:RawAction"
observation = "some_tides.messages:LookObservation"
[events]
"tides.wave" = "some_tides.messages:Wave"
[ports]
map = PORT
"""

MESSAGES = """
from typing import Literal

from tether_runtime_client.plugin import Message, PluginAction, PluginEvent, PluginObservation


class TidesConfig(Message):
    harbour: str = "Calais"
    depth: float = 1.5
    key: bytes = b""


class Level(Message):
    height: float
    mark: bytes = b""


class LookObservation(PluginObservation):
    observation: Literal["tides.level"] = "tides.level"
    harbour: str
    levels: tuple[Level, ...] = ()


class LookAction(PluginAction[LookObservation]):
    action: Literal["tides.look"] = "tides.look"
    days: int = 1
    salt: bytes = b""


class RawAction(PluginAction):
    action: Literal["tides.raw"] = "tides.raw"


class Wave(PluginEvent):
    event: Literal["tides.wave"] = "tides.wave"
    height: float
"""

PLUGIN = """
import asyncio

from tether_runtime_client.plugin import ActionContext, Plugin, handles

from .messages import Level, LookAction, LookObservation, RawAction, TidesConfig, Wave


class Tides(Plugin[TidesConfig]):
    async def start(self) -> None:
        self.server = await asyncio.start_server(self.greet, "127.0.0.1", PORT)

    async def stop(self) -> None:
        self.server.close()

    async def greet(self, reader, writer) -> None:
        writer.write(b"high water")
        writer.close()

    @handles(LookAction)
    async def look(self, action: LookAction, context: ActionContext) -> LookObservation:
        for day in range(action.days):
            context.emit(Wave(height=day + self.config.depth))
        level = Level(height=self.config.depth, mark=action.salt + self.config.key)
        return LookObservation(harbour=self.config.harbour, levels=(level,) * action.days)

    @handles(RawAction)
    async def raw(self, action: RawAction, context: ActionContext) -> LookObservation:
        return LookObservation(harbour="raw")
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def install(site: Path, version: str = "1.2", *, port: int = 0, **replaced: str) -> Path:
    """Put the package and its entry point into a folder; `replaced` are other texts of files."""
    folder = site / "some_tides"
    folder.mkdir(exist_ok=True)
    port = port or free_port()
    files = {
        "__init__.py": "",
        "messages.py": MESSAGES,
        "plugin.py": PLUGIN,
        "skills.py": 'def high(day: int = 0) -> str:\n    """When it is high."""\n',
        "tether-plugin.toml": DECLARATION,
    }
    for name, text in (files | replaced).items():
        (folder / name).write_text(text.replace("PORT", str(port)))
    info = site / "some_tides.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: some-tides\nVersion: {version}\n")
    (info / "entry_points.txt").write_text("[tether.plugins]\ntides = some_tides\n")
    return folder


def pack(site: Path) -> Path:
    """A wheel of what is installed there, of the same bytes each time."""
    info = site / "some_tides.dist-info"
    (info / "WHEEL").write_text("Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    version = info.joinpath("METADATA").read_text().split()[-1]
    files = sorted(site.glob("some_tides/*.*")) + sorted(info.iterdir())
    names = [str(file.relative_to(site)).replace(".dist", f"-{version}.dist") for file in files]
    wheel = site / f"some_tides-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, file in zip(names, files, strict=True):
            archive.writestr(zipfile.ZipInfo(name), file.read_bytes())
        record = "".join(f"{name},,\n" for name in names)
        archive.writestr(zipfile.ZipInfo(f"some_tides-{version}.dist-info/RECORD"), record)
    return wheel


@contextmanager
def fresh_classes() -> Iterator[None]:
    """A process that has opened nothing yet, and forgets what the test has imported."""
    forget()
    try:
        yield
    finally:
        forget()


def forget() -> None:
    """What was found, told and imported."""
    installed_classes.__init__()  # type: ignore[misc]
    typed._told.clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "some_tides"]:
        del sys.modules[name]
