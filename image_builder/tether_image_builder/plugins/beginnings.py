"""What the build stages of a call begin with: made when it is first wanted, shared, thrown away.

A stage of a plugin runs what belongs to that plugin, so it is nobody else's; what it begins with
has nothing of any plugin in it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from secrets import token_hex
from threading import Lock

from .. import recipes
from ..context import context_archive
from ..engine import Engine
from ..environment import KIND_LABEL, STAGE_LABEL, EnvironmentRecipe
from ..host import host_files, proxy_arguments
from ..models import BuildOptions, BuildProgress, ProgressReport
from ..stage import is_debian, stage_base, suite_of

PLUGIN = "plugin"
REPOSITORY = "tether-plugin"
_BASE = "debian:bookworm-slim"


@dataclass
class Beginnings:
    """A Debian with the environment, and the same with apt, pip and patchelf.

    Any thread may ask for one; the first makes it, and the others wait for that. Whoever made this
    closes it, after all stages have ended.
    """

    environment: EnvironmentRecipe
    options: BuildOptions
    _made: dict[str, str] = field(default_factory=dict)
    _locks: tuple[Lock, Lock] = field(default_factory=lambda: (Lock(), Lock()))

    def plain(self, engine: Engine, report: ProgressReport) -> str:
        """The image without tools.

        Raises:
            EngineRefusal, EnvironmentUnavailable: it cannot be had.
            Stopped: the engine was to stop.
        """
        with self._locks[0]:
            if "plain" not in self._made:
                base = self._debian(engine, report)
                host = host_files(suite_of(base), self.options.ca_certificate)
                files = {**recipes.plugin_recipe_files(), **host}
                own = {"BASE": base, "ENVIRONMENT": self.environment.described.image}
                self._make(engine, "plain", "recipe/Dockerfile.stage", files, own)
            return self._made["plain"]

    def with_tools(self, engine: Engine, report: ProgressReport) -> str:
        """The image with tools; raises as `plain` does."""
        with self._locks[1]:
            if "tools" not in self._made:
                plain = self.plain(engine, report)
                report(BuildProgress("plugin", "getting apt's lists, pip and patchelf"))
                files = recipes.plugin_recipe_files()
                self._make(engine, "tools", "recipe/Dockerfile.tools", files, {"BASE": plain})
            return self._made["tools"]

    def _debian(self, engine: Engine, report: ProgressReport) -> str:
        base, name = self.environment.recipe.manifest.base, self.environment.described.name
        return stage_base(engine, name, base if is_debian(base) else _BASE, report)

    def _make(
        self,
        engine: Engine,
        name: str,
        dockerfile: str,
        files: Mapping[str, bytes],
        arguments: Mapping[str, str],
    ) -> None:
        tag = f"{REPOSITORY}-stage:{token_hex(8)}"
        proxies = proxy_arguments({**os.environ, **self.options.arguments})
        engine.build(
            context_archive(files, ("host",)),
            tag=tag,
            report=lambda _: None,  # its instructions are the same for every plugin
            phase="plugin",
            dockerfile=dockerfile,
            arguments={**proxies, **arguments, "STAGE": tag},
            labels={KIND_LABEL: PLUGIN},
            no_cache=True,
        )
        self._made[name] = tag

    def close(self, engine: Engine) -> None:
        """Removes them. Twice is safe."""
        for name in ("tools", "plain"):  # one was made of the other
            if (tag := self._made.pop(name, None)) is not None:
                engine.untag(tag)
                engine.remove_unnamed(f"{STAGE_LABEL}={tag}")
