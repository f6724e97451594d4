"""What a build with plugins comes to, decided without an engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from tether_image_builder.choice import Choice
from tether_image_builder.environment import EnvironmentRecipe
from tether_image_builder.models import BuildOptions, BuildProgress, Image
from tether_image_builder.plan import Plan, make_plan
from tether_image_builder.plugins.labels import LabelledPlugin, plugin_labels
from tether_image_builder.plugins.source import PluginSource
from tether_image_builder.with_plugins import kept_plugins, warn_of_lost
from tether_runtime_client.plugin.declaration import Declaration
from tether_runtime_client.plugin.installed import InstalledPlugin

from ..test_plan import IMAGE


def source(name: str, version: str = "1.0") -> PluginSource:
    order = {"kind": "requirement", "requirement": f"{name}=={version}"}
    return PluginSource(name, f"the package {name}", order)


def labelled(plan: Plan, number: int, name: str) -> LabelledPlugin:
    """What comes of one of a plan's plugins."""
    recipe = plan.plugins[number]
    installed = InstalledPlugin(declaration=Declaration(name=name, door=1), version="1.0")
    return LabelledPlugin(
        installed=installed, image=recipe.tag, fingerprint=recipe.fingerprint, bytes=1
    )


@pytest.fixture(autouse=True)
def _still(still_code: object) -> None:
    """The client's code does not change while the tests run."""


def plan(image: Image = IMAGE, *sources: PluginSource, no_cache: bool = False) -> Plan:
    recipe = EnvironmentRecipe.load("portable", image.platform)
    options = BuildOptions(env="portable", no_cache=no_cache)
    return make_plan("app:1", image, options, Choice(recipe, "asked"), None, sources)


def with_client(labels: Mapping[str, str]) -> Image:
    fingerprint = plan().source.environment_fingerprint
    own = {"tether.environment.fingerprint": fingerprint, "tether.environment": "portable"}
    return replace(IMAGE, labels={**own, **labels}, user="7")


def lines(planned: Plan, made: Sequence[LabelledPlugin]) -> list[str]:
    return planned.dockerfile(plugins=made).splitlines()


def test_plugins_decide_on_the_fingerprint_and_their_order_does_not() -> None:
    a, b = source("a"), source("b")
    assert plan(IMAGE, a, b).fingerprint == plan(IMAGE, b, a).fingerprint
    fingerprints = {plan(IMAGE, *each).fingerprint for each in ((), (a,), (b,), (a, b))}
    assert len(fingerprints) == 4
    assert plan(IMAGE, source("a", "2.0")).fingerprint not in fingerprints


def test_the_environments_layers_come_first() -> None:
    planned = plan(IMAGE, source("a"), source("b"))
    made = [labelled(planned, 0, "a"), labelled(planned, 1, "c")]
    copies = [line for line in lines(planned, made) if line.startswith("COPY")]
    assert copies[:2] == [line for line in lines(plan(), []) if line.startswith("COPY")]
    assert copies[2:] == [
        f"COPY --from={planned.plugins[number].tag} /opt/tether/plugins/{name}"
        f" /opt/tether/plugins/{name}"
        for number, name in enumerate("ac")
    ]
    text = "\n".join(lines(planned, made))
    assert '"tether.plugin.a"="1.0"' in text
    assert '"tether.plugin.c"="1.0"' in text


def test_what_is_not_known_yet_is_copied_whole() -> None:
    """For a dry run: a package has not been looked into."""
    planned = plan(IMAGE, source("a"))
    copy = f"COPY --from={planned.plugins[0].tag} /opt/tether/plugins /opt/tether/plugins"
    assert copy in lines(planned, [])


def test_an_image_that_has_the_client_lacks_a_plugin() -> None:
    planned = plan(with_client({}), source("a"))
    assert not planned.is_done()
    made = [labelled(planned, 0, "a")]
    kinds = [line.split()[0] for line in lines(planned, made) if not line.startswith(" ")]
    assert kinds == ["FROM", "COPY", "LABEL"]  # the client stays
    assert plan(with_client(plugin_labels(made)), source("a")).is_done()
    assert plan(with_client(plugin_labels(made))).is_done()


def test_others_that_it_has_stay() -> None:
    both = plan(IMAGE, source("a"), source("b"))
    there = with_client(plugin_labels([labelled(both, 0, "a")]))
    planned = plan(there, source("b"))
    text = "\n".join(lines(planned, [labelled(planned, 0, "b")]))
    assert "RUN" not in text
    assert "plugins/a" not in text
    assert '"tether.plugin.a"="1.0"' in text
    assert [each.name for each in kept_plugins(planned, ["b"])] == ["a"]


def test_another_version_of_one_that_it_has_takes_its_place() -> None:
    old = plan(IMAGE, source("a"))
    there = with_client(plugin_labels([labelled(old, 0, "a")]))
    planned = plan(there, source("a", "2.0"))
    found = lines(planned, [labelled(planned, 0, "a")])
    [run] = [line for line in found if line.startswith("RUN")]
    assert "shutil.rmtree('/opt/tether/plugins/a')" in run
    assert "rmtree('/opt/tether')" not in run
    assert found[1] == "USER 0"
    assert found[3] == 'USER "7"'
    assert kept_plugins(planned, ["a"]) == ()


def test_another_client_takes_the_place_of_all() -> None:
    old = plan(IMAGE, source("a"))
    labels = {"tether.environment.fingerprint": "older"}
    image = replace(
        with_client(plugin_labels([labelled(old, 0, "a")])),
        labels={
            **plugin_labels([labelled(old, 0, "a")]),
            **labels,
        },
    )
    planned = plan(image)
    text = "\n".join(lines(planned, []))
    assert "rmtree('/opt/tether')" in text
    assert '"tether.plugins"="[]"' in text  # labels cannot be taken away
    assert '"tether.plugin.a"=""' in text
    said: list[BuildProgress] = []
    warn_of_lost(planned, [], said.append)
    assert "has the plugins a, and the new image has not" in said[0].message


def test_without_a_cache_all_is_put_in_again() -> None:
    old = plan(IMAGE, source("a"))
    there = with_client(plugin_labels([labelled(old, 0, "a")]))
    planned = plan(there, source("a"), no_cache=True)
    text = "\n".join(lines(planned, [labelled(planned, 0, "a")]))
    assert "rmtree('/opt/tether')" in text
    assert "COPY --from=tether-env" in text
