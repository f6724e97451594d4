"""The images of a plugin: its own code in one, what it needs in another, both copied from.

A change of the code makes the first one anew, which takes seconds; the other is shared by all
versions of the code that need the same.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from tether_runtime_client.plugin.declaration import DOOR
from tether_runtime_client.plugin.installed import InstalledPlugin
from tether_runtime_client.protocol.message import Message

from .. import recipes
from ..engine import Engine
from ..environment import EnvironmentRecipe
from ..errors import plugin_invalid
from ..fingerprint import fingerprint
from ..locks import held
from ..models import PluginLayer, ProgressReport
from ..names import FINGERPRINT_DIGITS
from ..render import PLUGINS
from .beginnings import REPOSITORY, Beginnings
from .labels import LabelledPlugin, plugin_labels, plugins_in
from .needs import LARGEST, NeedsImage, NeedsRecipe
from .source import PluginSource
from .stage import PluginStage, say

_MADE = "/made.json"
# A line of a Dockerfile, which has the labels, may have 64 KiB.
_LARGEST_DECLARATION = 16 << 10
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+!_-]{0,63}")


class _ToldPlugin(Message):
    """What a stage says of a plugin."""

    installed: InstalledPlugin
    bytes: int
    needs: bool


class _Told(Message):
    """What a stage says that it did."""

    plugins: tuple[_ToldPlugin, ...]


@dataclass(frozen=True)
class MadePlugins:
    """What a plugin's image has: one plugin, or all those of its package.

    Attributes:
        plugins: they.
        reused: the image of their code was there already.
        seconds: how long this call took for it, and for what they need.
        needs_made: images of what they need that this call made.
    """

    plugins: tuple[LabelledPlugin, ...]
    reused: bool
    seconds: float
    needs_made: frozenset[str] = frozenset()

    def layers(self) -> tuple[PluginLayer, ...]:
        """The same as it is told to callers."""
        return tuple(
            each.layer(
                reused=self.reused,
                needs_reused=each.needs not in self.needs_made,
                seconds=self.seconds,
            )
            for each in self.plugins
        )


@dataclass(frozen=True)
class PluginRecipe:
    """All that a plugin's images are made of, for one environment."""

    source: PluginSource
    environment: EnvironmentRecipe

    @cached_property
    def fingerprint(self) -> str:
        """Over the plugin, how it is made, and the environment without the client's code."""
        parts: dict[str, bytes | str] = {
            "source": self.source.fingerprint,
            "environment": self.environment.described.base_image,
            "platform": self.environment.platform,
            "door": str(DOOR),
        }
        return fingerprint({**parts, **recipes.plugin_recipe_files()})

    @property
    def tag(self) -> str:
        """What the image of its code is called."""
        name, slug = self.environment.described.name, self.source.slug[:64]
        return f"{REPOSITORY}-{slug}-{name}:{self.fingerprint[:FINGERPRINT_DIGITS]}"

    @property
    def _stage(self) -> PluginStage:
        return PluginStage(self.tag, self.source.said, self.environment)

    def find(self, engine: Engine) -> tuple[LabelledPlugin, ...] | None:
        """What is in the image, if it is there, and what it needs is there too.

        Raises:
            PluginInvalid: an image of this name was made for something else.
        """
        found = engine.find(self.tag)
        if found is None:
            return None
        self._stage.check(found.labels, found.platform, self.fingerprint)
        plugins = plugins_in(found.labels)
        needed = {each.needs for each in plugins if each.needs is not None}
        return plugins if all(engine.find(name) is not None for name in needed) else None

    def ensure(self, engine: Engine, report: ProgressReport, beginnings: Beginnings) -> MadePlugins:
        """Builds what is missing, or all where `no_cache` asks for it. Two at once build once.

        Args:
            engine: where.
            report: is told what is done.
            beginnings: what its stages may begin with, and what else is asked for.

        Raises:
            PluginInvalid: the package is no plugin, or none for this Tether or this environment.
            BuildFailed: pip, apt or its set-up failed.
            EnvironmentUnavailable: the stage for it cannot be had.
            Stopped: the engine was to stop.
        """
        began = time.monotonic()
        found = None if beginnings.options.no_cache else self.find(engine)
        if found is not None:
            return MadePlugins(found, True, 0.0)

        def waiting() -> None:
            say(report, f"waiting for another build of {self.source.said}")

        with held(self.tag, on_wait=waiting, stop=engine.stop):
            found = None if beginnings.options.no_cache else self.find(engine)
            if found is not None:
                return MadePlugins(found, True, time.monotonic() - began)
            plugins, needs = self._build(engine, report, beginnings)
        made = frozenset(each.tag for each in needs if not each.reused)
        return MadePlugins(plugins, False, time.monotonic() - began, made)

    def _build(
        self, engine: Engine, report: ProgressReport, beginnings: Beginnings
    ) -> tuple[tuple[LabelledPlugin, ...], list[NeedsImage]]:
        """The image has its name only when all that it says is there, what it needs too."""
        say(report, f"making an image of {self.source.said}, once for this engine")
        stage = self._stage.built(
            engine,
            self.source.context,
            self.source.executable,
            report,
            beginnings,
            dockerfile="Dockerfile",
            with_tools=self.source.order["kind"] != "code",  # which is all there already
        )
        needs: dict[str, NeedsImage] = {}
        with stage as unchecked:
            told = self._read(engine, unchecked)
            for each in told:
                if each.needs:
                    name = each.installed.declaration.name
                    recipe = NeedsRecipe.read(
                        engine, unchecked, name, self.source.said, self.environment
                    )
                    needs[name] = recipe.ensure(engine, report, beginnings)
            plugins = tuple(self._labelled(each, needs) for each in told)
            text = _only(unchecked, [each.name for each in plugins])
            self._stage.named(engine, text, self.fingerprint, plugin_labels(plugins), report)
        for plugin in plugins:
            size = f"{plugin.bytes / 1e6:.1f} MB"
            say(report, f"the plugin {plugin.name!r} {plugin.installed.version} has {size}")
        return plugins, list(needs.values())

    def _read(self, engine: Engine, image: str) -> tuple[_ToldPlugin, ...]:
        """What the stage says that it made; what builds the package may have written anything."""
        with engine.files(image) as files:
            found = files.read(_MADE, largest=LARGEST)
        try:
            made = _Told.model_validate_json(found.content if found is not None else b"")
            for each in made.plugins:
                self._check(each.installed)
        except ValueError as problem:
            reason = f"its stage left no list of what it did, or a wrong one ({problem})"
            raise plugin_invalid(self.source.said, reason) from None
        return made.plugins

    def _check(self, installed: InstalledPlugin) -> None:
        name = installed.declaration.name
        if len(installed.model_dump_json()) > _LARGEST_DECLARATION:
            raise ValueError(f"its declaration has more than {_LARGEST_DECLARATION >> 10} KiB")
        if self.source.order["plugin"] not in (None, name):
            raise ValueError(f"it has another plugin, {name!r}")
        if not _VERSION.fullmatch(installed.version):  # it becomes a label of the user's image
            raise ValueError(f"{installed.version!r:.100} is no version")

    def _labelled(self, made: _ToldPlugin, needs: dict[str, NeedsImage]) -> LabelledPlugin:
        there = needs.get(made.installed.declaration.name)
        return LabelledPlugin(
            installed=made.installed,
            image=self.tag,
            fingerprint=self.fingerprint,
            bytes=made.bytes + (there.bytes if there is not None else 0),
            needs=there.tag if there is not None else None,
            needs_bytes=there.bytes if there is not None else 0,
        )


def _only(image: str, names: Iterable[str]) -> str:
    """The folders of plugins that were told of, whatever a package's build left beside them."""
    places = [f"{PLUGINS}/{name}" for name in names]
    return "\n".join(["FROM scratch", *(f"COPY --from={image} {one} {one}" for one in places), ""])
