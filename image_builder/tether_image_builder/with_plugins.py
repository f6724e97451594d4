"""What a build does where there are plugins. Their own modules are loaded only then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from .models import BuildOptions, BuildProgress, PluginLayer, ProgressReport
from .render import PLUGIN_LABEL, PLUGINS_LABEL, PluginCopy, Source

if TYPE_CHECKING:
    from .engine import Engine
    from .environment import EnvironmentRecipe
    from .plan import Plan
    from .plugins.image import MadePlugins, PluginRecipe
    from .plugins.labels import LabelledPlugin
    from .plugins.source import PluginSource
    from .spec.model import Spec


def asked_plugins(
    spec: Spec | None, names: Sequence[str], packages: Sequence[str]
) -> tuple[PluginSource, ...]:
    """What is asked for in a call and in its spec, found on this machine.

    Raises:
        PluginInvalid: it is not there or none, or two do not go together.
    """
    if isinstance(names, str) or isinstance(packages, str):
        raise TypeError("plugins and plugin_packages are lists of names, and no string")
    if spec is not None:
        names = (*spec.plugins, *names)
        packages = (*_from_spec(spec), *packages)
    if not names and not packages:
        return ()
    from .plugins.asked import plugin_sources

    return plugin_sources(names, packages)


def _from_spec(spec: Spec) -> Iterable[str]:
    """Its paths are those in its folder."""
    from .plugins.asked import is_path

    for text in spec.plugin_packages:
        yield str(spec.folder.absolute() / text) if is_path(text) else text


def plugin_recipes(
    sources: Iterable[PluginSource], environment: EnvironmentRecipe
) -> tuple[PluginRecipe, ...]:
    """How the images of plugins are made for an environment."""
    if not sources:
        return ()
    from .plugins.image import PluginRecipe

    return tuple(PluginRecipe(source, environment) for source in sources)


def has_plugins(plan: Plan) -> bool:
    """Whether the plan's image has all plugins of the plan, as they would be put in today."""
    from .plugins.labels import readable_plugins

    there = {plugin.fingerprint for plugin in readable_plugins(plan.image.labels)}
    return all(plugin.fingerprint in there for plugin in plan.plugins)


def made_plugins(
    engine: Engine,
    recipes: Sequence[PluginRecipe],
    report: ProgressReport,
    options: BuildOptions,
    plan: Plan | None = None,
) -> tuple[MadePlugins, ...]:
    """Makes the images of plugins that are missing. The environment has to be there.

    With a plan they have to go together with what its image has, too.

    Raises:
        PluginInvalid: one is none, or two of them do not go together.
        BuildFailed: what one of them needs could not be installed.
        EnvironmentUnavailable: the stage for it cannot be had.
    """
    if not recipes:
        return ()
    from .plugins.conflicts import check_together
    from .plugins.side_by_side import ensure_all

    made = ensure_all(engine, recipes, report, options)
    said = [
        (recipe.source.said, each.installed.declaration)
        for recipe, found in zip(recipes, made, strict=True)
        for each in found.plugins
    ]
    there = kept_plugins(plan, (each.name for _, each in said)) if plan is not None else ()
    check_together([*said, *((each.image, each.installed.declaration) for each in there)])
    return made


def kept_plugins(plan: Plan, names: Iterable[str]) -> tuple[LabelledPlugin, ...]:
    """Those of the plan's image that stay, where others of these names are put in.

    An image that has this client keeps it, and what is beside it.
    """
    if not plan.has_client or plan.options.no_cache or PLUGINS_LABEL not in plan.image.labels:
        return ()
    from .plugins.labels import readable_plugins

    replaced = set(names)
    return tuple(each for each in readable_plugins(plan.image.labels) if each.name not in replaced)


def with_plugins(source: Source, plan: Plan, made: Sequence[LabelledPlugin]) -> Source:
    """What is rendered, with the plugins that came of a plan."""
    from .plugins.labels import plugin_labels, readable_plugins

    stays = plan.has_client and not plan.options.no_cache
    there = {each.name: each for each in readable_plugins(plan.image.labels)} if stays else {}
    new = [each for each in made if there.get(each.name) != each]
    kept = kept_plugins(plan, (each.name for each in made))
    return replace(
        source,
        plugins=(
            *_unknown(plan, made),
            *(PluginCopy(each.name, each.image, each.needs) for each in new),
        ),
        cleared_plugins=tuple(each.name for each in new if each.name in there) if stays else None,
        labels={**source.labels, **plugin_labels([*made, *kept])},
    )


def _unknown(plan: Plan, made: Sequence[LabelledPlugin]) -> list[PluginCopy]:
    """Those that were not made: of a dry run, where a package has not been looked into."""
    there = {each.fingerprint for each in made}
    missing = [recipe for recipe in plan.plugins if recipe.fingerprint not in there]
    return [copy for recipe in missing for copy in _copies(recipe)]


def _copies(recipe: PluginRecipe) -> list[PluginCopy]:
    known = [declaration.name for declaration in recipe.source.declarations]
    return [PluginCopy(name, recipe.tag) for name in known or (None,)]


def there(engine: Engine, plan: Plan) -> list[LabelledPlugin]:
    """Those of a plan's plugins that were made already."""
    found = (recipe.find(engine) for recipe in plan.plugins)
    return sorted((each for made in found for each in made or ()), key=lambda each: each.name)


def described(plan: Plan, plugins: Sequence[LabelledPlugin]) -> str:
    """What will be made of which plugin, as comments of a Dockerfile."""
    lines = []
    for recipe in plan.plugins:
        lines.append(f"# {recipe.tag} has {recipe.source.said}\n")
        made = [each for each in plugins if each.image == recipe.tag]
        lines += [f"# {each.needs} has what {each.name} needs\n" for each in made if each.needs]
        if not made:
            lines.append("# and what it needs, if anything, is known when that is made\n")
    return "".join(lines)


def labels_without_plugins(labels: Mapping[str, str]) -> dict[str, str]:
    """What to write over an image's labels about plugins that will not be in it any more."""
    gone = {name: "" for name in labels if name.startswith(PLUGIN_LABEL)}
    return {**gone, PLUGINS_LABEL: "[]"} if PLUGINS_LABEL in labels else gone


def warn_of_lost(plan: Plan, made: Sequence[LabelledPlugin], report: ProgressReport) -> None:
    """Plugins of an image whose client is another one's, and that nobody asked for now."""
    if PLUGINS_LABEL not in plan.image.labels or plan.has_client:
        return
    from .plugins.labels import readable_plugins

    names = {each.name for each in made}
    there = [each.name for each in readable_plugins(plan.image.labels)]
    if lost := [name for name in there if name not in names]:
        what = f"[Warning] {plan.name} has the plugins {', '.join(lost)}, and the new image has not"
        report(BuildProgress("build", f"{what}: ask for them with --plugins"))


def labelled(made: Iterable[MadePlugins]) -> list[LabelledPlugin]:
    """All plugins of their images, by name."""
    return sorted((each for found in made for each in found.plugins), key=lambda each: each.name)


def layers_of(made: Iterable[MadePlugins]) -> tuple[PluginLayer, ...]:
    """The same as they are told to callers."""
    layers = (layer for found in made for layer in found.layers())
    return tuple(sorted(layers, key=lambda layer: layer.name))


def plugin_layers(
    labels: Mapping[str, str], made: Sequence[MadePlugins] = ()
) -> tuple[PluginLayer, ...]:
    """The plugins that an image has, as they are told to callers."""
    if PLUGINS_LABEL not in labels:
        return ()
    from .plugins.labels import readable_plugins

    now = {(layer.image, layer.name): layer for layer in layers_of(made)}
    found = (each.layer(reused=True) for each in readable_plugins(labels))
    return tuple(now.get((layer.image, layer.name), layer) for layer in found)
