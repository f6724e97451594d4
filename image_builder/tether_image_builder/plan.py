"""What a build comes to: everything is decided here, and nothing is changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .choice import Choice
from .engine import Engine, EngineRefusal
from .environment import EnvironmentRecipe
from .errors import image_not_found, wrong_architecture, wrong_variant
from .fingerprint import fingerprint
from .models import BuildOptions, BuildProgress, Image, ProgressReport
from .names import built_tag, is_pullable
from .render import (
    ENVIRONMENT_FINGERPRINT_LABEL,
    FINGERPRINT_LABEL,
    Source,
    Words,
    own_command,
    render,
)
from .with_plugins import has_plugins, labels_without_plugins, plugin_recipes, with_plugins

if TYPE_CHECKING:
    from .plugins.image import PluginRecipe
    from .plugins.labels import LabelledPlugin
    from .plugins.source import PluginSource
    from .spec.plan import StepPlan


@dataclass(frozen=True)
class Plan:
    """What is to be made of which image; `command` is the image's own ENTRYPOINT and CMD.

    `steps` are done before the client is put in, so that another client does them not again.
    `plugins` lie above it, so that another plugin leaves the environment's layers as they are.
    """

    name: str
    image: Image
    choice: Choice
    source: Source
    command: tuple[Words, Words]
    fingerprint: str
    tag: str
    options: BuildOptions
    steps: StepPlan | None = None
    plugins: tuple[PluginRecipe, ...] = ()

    @property
    def recipe(self) -> EnvironmentRecipe:
        """What the environment is made of."""
        return self.choice.recipe

    def dockerfile(
        self,
        base: str | None = None,
        *,
        keeps_command: bool = False,
        plugins: Sequence[LabelledPlugin] = (),
    ) -> str:
        """What the engine is given.

        Args:
            base: stands for the image.
            keeps_command: it has the image's own ENTRYPOINT and CMD.
            plugins: what came of `plugins`.
        """
        has_command = base is None or keeps_command
        source = self.source if has_command else replace(self.source, restored=self.command)
        if self.plugins:
            source = with_plugins(source, self, plugins)
        return render(source, base=base, fingerprint=self.fingerprint)

    def is_in(self, image: Image | None) -> bool:
        """Whether an image is what this plan makes."""
        return image is not None and image.labels.get(FINGERPRINT_LABEL) == self.fingerprint

    def is_done(self) -> bool:
        """Whether the image itself holds this client, and runs as its maker wanted it to."""
        return self.has_client and (not self.plugins or has_plugins(self))

    @property
    def has_client(self) -> bool:
        """The same, whatever plugins it has."""
        client = self.image.labels.get(ENVIRONMENT_FINGERPRINT_LABEL)
        has_client = client == self.source.environment_fingerprint
        return has_client and self.source.restored is None and self.steps is None


def make_plan(
    name: str,
    image: Image,
    options: BuildOptions,
    choice: Choice,
    steps: StepPlan | None = None,
    plugins: Sequence[PluginSource] = (),
) -> Plan:
    """Decides everything; asks no engine.

    Args:
        name: what the user called the image; it decides on nothing but the result's name.
        image: its facts.
        options: what is asked for.
        choice: the environment that is put in.
        steps: what is done to the image before the client is put in.
        plugins: what is put in beside it.
    """
    recipe = choice.recipe
    had = (image.entrypoint, image.command)
    command = own_command(*had, image.labels)
    source = Source(
        base=image.image_id,
        environment=recipe.described.name,
        environment_fingerprint=recipe.described.fingerprint,
        environment_base_image=recipe.described.base_image,
        environment_image=recipe.described.image,
        restored=command if command != had else None,
        cleared_as=image.user if ENVIRONMENT_FINGERPRINT_LABEL in image.labels else None,
        labels=labels_without_plugins(image.labels),
    )
    parts = {"dockerfile": render(source), "platform": image.platform}
    if steps is not None:
        parts["steps"] = steps.fingerprint
    put_in = plugin_recipes(plugins, recipe)
    if put_in:
        parts["plugins"] = " ".join(sorted(plugin.fingerprint for plugin in put_in))
    total = fingerprint(parts)
    tag = built_tag(name, image.image_id, total)
    return Plan(name, image, choice, source, command, total, tag, options, steps, put_in)


def check_architecture(engine: Engine, plan: Plan) -> None:
    """Another architecture than the engine's needs an environment that was brought here.

    Raises:
        WrongArchitecture: there is none, and none can be built here.
    """
    platform = plan.image.platform
    if platform != engine.platform and engine.find(plan.recipe.described.image) is None:
        raise wrong_architecture(plan.name, platform, engine.platform)


def find_image(engine: Engine, name: str, platform: str | None, report: ProgressReport) -> Image:
    """The image for a platform, pulled if need be.

    Raises:
        ImageNotFound: it is neither here nor can it be pulled.
        WrongArchitecture: what there is of that name is for another platform.
    """
    found = engine.find(name)
    if found is not None and platform in (None, found.platform):
        return found
    if not is_pullable(name):
        if found is not None and platform is not None:
            raise wrong_variant(name, found.platform, platform)
        raise image_not_found(name, "no registry can be asked for a name like this")
    try:
        return _pulled(engine, name, platform, report)
    except EngineRefusal as problem:
        here = None if found is None else found.platform
        raise image_not_found(name, problem.reason, wanted=platform, here=here) from None


def _pulled(engine: Engine, name: str, platform: str | None, report: ProgressReport) -> Image:
    kind = "" if platform is None else f" for {platform}"
    report(BuildProgress("pull", f"pulling {name}{kind}"))
    engine.pull(name, report, phase="pull", platform=platform)
    found = engine.find(name)
    if found is None:
        raise image_not_found(name, "the engine does not have it after the pull")
    if platform not in (None, found.platform):
        raise wrong_variant(name, found.platform, str(platform))
    return found
