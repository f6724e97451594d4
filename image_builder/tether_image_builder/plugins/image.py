"""A plugin's own image: made once for each plugin, environment and platform, and copied from."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from pydantic import TypeAdapter

from tether_runtime_client.plugin.declaration import DOOR
from tether_runtime_client.plugin.installed import InstalledPlugin
from tether_runtime_client.protocol.message import Message

from .. import recipes
from ..classic import plain
from ..context import context_archive
from ..engine import Engine, EngineRefusal
from ..environment import KIND_LABEL, REASON, STAGE_LABEL, EnvironmentRecipe
from ..errors import plugin_failed, plugin_invalid, stage_unavailable
from ..fingerprint import fingerprint
from ..host import host_files, proxy_arguments
from ..locks import held
from ..models import BuildOptions, BuildProgress, PluginLayer, ProgressReport
from ..names import FINGERPRINT_DIGITS
from ..render import ENVIRONMENT_LABEL, FINGERPRINT_LABEL
from ..stage import is_debian, stage_base, suite_of
from ..stream import TOLD
from .labels import LabelledPlugin, plugin_labels, plugins_in
from .source import PluginSource

PLUGIN = "plugin"
REPOSITORY = "tether-plugin"
_MADE = "/made.json"
_LARGEST = 1 << 20
# A line of a Dockerfile, which has the labels, may have 64 KiB.
_LARGEST_DECLARATION = 16 << 10
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+!_-]{0,63}")
_BASE = "debian:bookworm-slim"
# How a line of the stage's output begins that says why there will be no plugin.
_FAILED, _INVALID = "plugin: ", "plugin invalid: "


_REASON = TypeAdapter(tuple[str, str])


class _ToldPlugin(Message):
    """What a stage says of a plugin."""

    installed: InstalledPlugin
    bytes: int


class _Told(Message):
    """What a stage says that it did."""

    plugins: tuple[_ToldPlugin, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class MadePlugins:
    """What a plugin's image has: one plugin, or all those of its package."""

    plugins: tuple[LabelledPlugin, ...]
    reused: bool
    seconds: float

    def layers(self) -> tuple[PluginLayer, ...]:
        """The same as it is told to callers."""
        return tuple(each.layer(reused=self.reused, seconds=self.seconds) for each in self.plugins)


@dataclass(frozen=True)
class PluginRecipe:
    """All that a plugin's image is made of, for one environment."""

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
        """What the image is called."""
        name, slug = self.environment.described.name, self.source.slug[:64]
        return f"{REPOSITORY}-{slug}-{name}:{self.fingerprint[:FINGERPRINT_DIGITS]}"

    def find(self, engine: Engine) -> tuple[LabelledPlugin, ...] | None:
        """What is in the image, if it is there.

        Raises:
            PluginInvalid: an image of this name was made for something else.
        """
        found = engine.find(self.tag)
        if found is None:
            return None
        expected = (self.environment.described.name, self.environment.platform, self.fingerprint)
        labels = found.labels
        has = (labels.get(ENVIRONMENT_LABEL), found.platform, labels.get(FINGERPRINT_LABEL))
        if has != expected:
            reason = f"{self.tag} is for the environment {has[0]} on {has[1]}"
            raise plugin_invalid(self.source.said, reason, "Remove that image: it is none of ours")
        return plugins_in(labels)

    def ensure(self, engine: Engine, report: ProgressReport, options: BuildOptions) -> MadePlugins:
        """Builds the image where it is missing, or `no_cache` asks for it. Two at once build once.

        Raises:
            PluginInvalid: the package is no plugin, or none for this Tether or this environment.
            BuildFailed: pip, apt or its set-up failed.
            EnvironmentUnavailable: the stage for it cannot be had.
        """
        began = time.monotonic()
        made = None if options.no_cache else self.find(engine)
        if made is not None:
            return MadePlugins(made, True, 0.0)

        def waiting() -> None:
            _say(report, f"waiting for another build of {self.source.said}")

        with held(self.tag, on_wait=waiting):
            made = None if options.no_cache else self.find(engine)
            if made is None:
                self._build(engine, report, options)
        found = made if made is not None else self.find(engine) or ()
        return MadePlugins(found, made is not None, time.monotonic() - began)

    def _build(self, engine: Engine, report: ProgressReport, options: BuildOptions) -> None:
        """The image has its name only when what is in it was found to be in order."""
        self._refuse_platform(engine)
        _say(report, f"making an image of {self.source.said}, once for this engine")
        name = self.environment.described.name
        base = self.environment.recipe.manifest.base
        base = stage_base(engine, name, base if is_debian(base) else _BASE, report)
        unchecked = f"{REPOSITORY}-unchecked:{self.fingerprint[:FINGERPRINT_DIGITS]}"
        old = engine.find(self.tag)
        try:
            context = self._context(base, options)
            arguments = self._arguments(base, options)
            self._build_stage(engine, context, unchecked, arguments, report)
            made = self._read(engine, unchecked, report)
            self._name(engine, unchecked, made, report)
        finally:
            engine.untag(unchecked)
            engine.remove_unnamed(f"{STAGE_LABEL}={self.tag}")
        if old is not None:
            engine.discard(old.image_id)

    def _refuse_platform(self, engine: Engine) -> None:
        platform = self.environment.platform
        if platform != engine.platform:
            raise plugin_invalid(
                self.source.said,
                f"there is no image of it for {platform}, and this engine builds for"
                f" {engine.platform}",
                "Make it on an engine for that platform, and bring it by `docker save` and"
                " `docker load`",
            )

    def _context(self, base: str, options: BuildOptions) -> bytes:
        given = {f"plugin/{name}": content for name, content in self.source.context.items()}
        executable = {f"plugin/{name}" for name in self.source.executable}
        host = host_files(suite_of(base), options.ca_certificate)
        files = {**recipes.plugin_recipe_files(), **host, **given}
        return context_archive(files, ("host",), executable)

    def _arguments(self, base: str, options: BuildOptions) -> dict[str, str]:
        described, manifest = self.environment.described, self.environment.recipe.manifest
        proxies = proxy_arguments({**os.environ, **options.arguments})
        own = {"BASE": base, "ENVIRONMENT": described.image, "STAGE": self.tag}
        return {**proxies, **own, "GLIBC": manifest.glibc or ""}

    def _build_stage(
        self,
        engine: Engine,
        context: bytes,
        tag: str,
        arguments: Mapping[str, str],
        report: ProgressReport,
    ) -> None:
        """Without the engine's cache: a first step that two stages share goes with either of them,
        and nothing else of a stage is there a second time.
        """
        try:
            engine.build(
                context,
                tag=tag,
                report=report,
                phase="plugin",
                arguments=arguments,
                labels={KIND_LABEL: PLUGIN},
                no_cache=True,
            )
        except EngineRefusal as problem:
            raise self._failure(problem) from None

    def _failure(self, problem: EngineRefusal) -> Exception:
        """In the stage's own words, where it has some: they come before the engine's."""
        log = own_lines(problem.log)
        for line in reversed(problem.log):
            if line.startswith(_INVALID):
                return plugin_invalid(self.source.said, *_reason(line.removeprefix(_INVALID)))
            if line.startswith(_FAILED):
                return plugin_failed(self.source.said, line.removeprefix(_FAILED), log)
            if line.startswith(REASON):
                what = f"{self.source.said} could not be installed"
                return stage_unavailable(what, line.removeprefix(REASON), log)
        return plugin_failed(self.source.said, problem.reason, log)

    def _read(
        self, engine: Engine, image: str, report: ProgressReport
    ) -> tuple[LabelledPlugin, ...]:
        """What the stage says that it made; its set-up scripts may have written anything there."""
        with engine.files(image) as files:
            found = files.read(_MADE, largest=_LARGEST)
        try:
            made = _Told.model_validate_json(found.content if found is not None else b"")
            plugins = tuple(self._labelled(each) for each in made.plugins)
        except ValueError as problem:
            reason = f"its stage left no list of what it did, or a wrong one ({problem})"
            raise plugin_invalid(self.source.said, reason) from None
        for line in made.warnings:
            _say(report, f"[Warning] {plain(line)}")
        for plugin in plugins:
            size = f"{plugin.bytes / 1e6:.1f} MB"
            _say(report, f"the plugin {plugin.name!r} {plugin.installed.version} has {size}")
        return plugins

    def _labelled(self, made: _ToldPlugin) -> LabelledPlugin:
        installed = made.installed
        name = installed.declaration.name
        if len(installed.model_dump_json()) > _LARGEST_DECLARATION:
            raise ValueError(f"its declaration has more than {_LARGEST_DECLARATION >> 10} KiB")
        if self.source.order["plugin"] not in (None, name):
            raise ValueError(f"it has another plugin, {name!r}")
        if not _VERSION.fullmatch(installed.version):  # it becomes a label of the user's image
            raise ValueError(f"{installed.version!r:.100} is no version")
        return LabelledPlugin(
            installed=installed,
            image=self.tag,
            fingerprint=self.fingerprint,
            bytes=made.bytes,
        )

    def _name(
        self,
        engine: Engine,
        unchecked: str,
        made: Sequence[LabelledPlugin],
        report: ProgressReport,
    ) -> None:
        labels = {
            KIND_LABEL: PLUGIN,
            ENVIRONMENT_LABEL: self.environment.described.name,
            FINGERPRINT_LABEL: self.fingerprint,
            **plugin_labels(made),
        }
        context = context_archive({"Dockerfile": f"FROM {unchecked}\n".encode()})
        try:
            engine.build(context, tag=self.tag, report=report, phase="plugin", labels=labels)
        except EngineRefusal as problem:
            raise plugin_failed(self.source.said, problem.reason, problem.log) from None


def _reason(text: str) -> tuple[str, str | None]:
    """A reason and a hint, as the stage writes them. Its set-up scripts may have written it."""
    try:
        reason, hint = _REASON.validate_json(text)
    except ValueError:
        return text, None
    return plain(reason), plain(hint) or None


def own_lines(log: Sequence[str]) -> list[str]:
    """What was said by the program that failed: the end of a log, without what ours and the
    engine's builder say.
    """
    begins = max((at for at, line in enumerate(log) if line.startswith(TOLD)), default=-1)
    others = (_FAILED, "Removing intermediate container ")
    return [line for line in log[begins + 1 :] if not line.startswith(others)]


def _say(report: ProgressReport, message: str) -> None:
    report(BuildProgress("plugin", message))
