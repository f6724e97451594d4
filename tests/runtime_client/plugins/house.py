"""A sandbox's plugins without the rest of its client: what is asked of them, and what they tell."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tether_runtime_client.dispatcher import Context
from tether_runtime_client.environment import Environment
from tether_runtime_client.oom_kills import OomKills
from tether_runtime_client.plugin.declaration import DOOR, Declaration, DeclaredAction
from tether_runtime_client.plugin.installed import InstalledPlugin
from tether_runtime_client.plugins import Plugins, Surroundings
from tether_runtime_client.protocol.events import Event
from tether_runtime_client.protocol.observations import Observation
from tether_runtime_client.protocol.plugin_actions import (
    ListPluginsAction,
    OpaqueAction,
    PluginStopAction,
)
from tether_runtime_client.protocol.plugin_events import OpaqueEvent, PluginFailed
from tether_runtime_client.protocol.plugin_observations import OpaqueObservation, PluginInfo

HERE = Path(__file__).parent
SLOW_S = 20.0
"""For what takes a moment: long enough on a loaded machine."""


def declared(entry: str = "corpus.plugin:Bad", **fields: Any) -> Declaration:
    """The declaration of `bad`, whose class is this one."""
    do = DeclaredAction(
        model="corpus.messages:DoAction", observation="corpus.messages:DoneObservation"
    )
    given = {
        "name": "bad",
        "door": DOOR,
        "entry": entry,
        "config": "corpus.messages:Config",
        "actions": {"bad.do": do},
        "events": {"bad.told": "corpus.messages:Told"},
    }
    return Declaration.model_validate({**given, **fields})


GOOD = Declaration(
    name="good",
    door=DOOR,
    entry="corpus.good:Good",
    actions={
        "good.say": DeclaredAction(model="corpus.good:SayAction", observation="corpus.good:Said")
    },
    events={"good.saying": "corpus.good:Saying"},
)


def install(folder: Path, *declarations: Declaration, version: str = "1.2.3") -> None:
    """Put plugins where a client finds them."""
    for declaration in declarations:
        plugin = InstalledPlugin(declaration=declaration, version=version, path=(str(HERE),))
        file = folder / declaration.name / "plugin.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(plugin.model_dump_json().encode())


class Places:
    """Of shell sessions, as the client knows them."""

    def folder_of(self, session: str) -> str:
        if session == "gone":
            raise FileNotFoundError(2, "No such file or directory")
        return f"/where/{session}/is"

    async def environment_of(self, session: str) -> dict[str, str]:
        return {"NAME": "välue\udcff", "SESSION": session, "BIG": "x" * 10_000}


class House:
    """The plugins, and all that they told. `say` is for the good one, `do` for the bad one."""

    def __init__(self, plugins: Plugins, state: Path, events: list[Event]) -> None:
        self.plugins = plugins
        self.state = state
        self.events = events
        self._news = asyncio.Event()

    def on_event(self, event: Event) -> None:
        self.events.append(event)
        self._news.set()

    async def say(self, text: str = "hello", pause_s: float = 0.0) -> str:
        """What the good plugin answers."""
        return await self._text("good.say", text=text, pause_s=pause_s)

    async def do(self, what: str, how: str = "") -> str:
        """What the bad plugin answers."""
        return await self._text("bad.do", what=what, how=how)

    async def _text(self, kind: str, **fields: Any) -> str:
        found = await self.run(kind, **fields)
        assert isinstance(found, OpaqueObservation)
        return str(found.fields["text"])

    async def run(self, kind: str, **fields: Any) -> Observation:
        """Whatever comes of an action."""
        context = Context(f"a{len(self.events)}", self.on_event)
        async with asyncio.timeout(60):
            return await self.plugins.run(OpaqueAction(kind=kind, fields=fields), context)

    async def stop(self, name: str = "bad") -> None:
        context = Context("stop", self.on_event)
        await self.plugins.stop(PluginStopAction(plugin=name), context)

    async def info(self, name: str = "bad", *, health: bool = False) -> PluginInfo:
        context = Context("list", self.on_event)
        found = await self.plugins.list_all(ListPluginsAction(health=health), context)
        return next(info for info in found.plugins if info.name == name)

    async def until(self, happened: Callable[[], object]) -> None:
        """Return once `happened` is true after an event."""
        async with asyncio.timeout(SLOW_S):
            while not happened():
                self._news.clear()
                await self._news.wait()

    def told(self, kind: type[Event]) -> list[Any]:
        """The events of a kind, oldest first."""
        return [event for event in self.events if type(event) is kind]

    def failure(self) -> PluginFailed:
        """The one failure that was told."""
        [failed] = self.told(PluginFailed)
        assert isinstance(failed, PluginFailed)
        return failed

    def opaque(self, kind: str) -> list[OpaqueEvent]:
        """What plugins told of that kind."""
        return [event for event in self.told(OpaqueEvent) if event.kind == kind]


@asynccontextmanager
async def house(
    folder: Path,
    *declarations: Declaration,
    config: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[House]:
    """With these plugins; nothing of them is left afterwards."""
    install(folder / "plugins", *declarations)
    state = folder / "run" / "state"
    state.mkdir(parents=True, exist_ok=True)
    events: list[Event] = []
    news: list[Callable[[Event], None]] = []
    around = Surroundings(
        folder / "plugins",
        folder / "run",
        state,
        Environment(environment or os.environ, state / "environment.json"),
        Places(),
        OomKills(None),
        lambda event: news[0](event),
    )
    made = House(Plugins({"bad": config or {}}, around), state, events)
    news.append(made.on_event)
    try:
        yield made
    finally:
        await made.plugins.close(0.5)
