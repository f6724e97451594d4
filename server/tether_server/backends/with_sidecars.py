"""Which sidecars a sandbox has, once it is known what its plugins declare."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tether_runtime_client.protocol.errors import PluginMissing

from ..sidecars.plan import SidecarPlan, plan_sidecar
from .base import SandboxSpec
from .entry import PREFIX, Injected

if TYPE_CHECKING:
    import docker

    from tether_image_builder import PluginLayer


def planned(
    engine: docker.DockerClient, spec: SandboxSpec, injected: Injected
) -> tuple[SandboxSpec, tuple[SidecarPlan, ...]]:
    """What to start beside the sandbox, and its spec, in which the plugins are told where that is.

    Raises `PluginMissing` or `PluginInvalid` for a sidecar that there is not.
    """
    layers = {layer.name: layer for layer in injected.plugins}
    plans = tuple(_planned(engine, spec, injected, layers, name) for name in spec.sidecars)
    plugins = {name: dict(config) for name, config in spec.plugins.items()}
    for plan in plans:
        plugins.setdefault(plan.plugin, {})[plan.config] = plan.address
    return replace(spec, plugins=plugins), plans


def _planned(
    engine: docker.DockerClient,
    spec: SandboxSpec,
    injected: Injected,
    layers: dict[str, PluginLayer],
    name: str,
) -> SidecarPlan:
    from ..sidecars.asked import needs_of

    if name not in layers:
        raise PluginMissing(f"the sandbox was made without the plugin {name!r}")
    layer = layers[name]
    needs, prefix = needs_of(layer.declaration), f"{PREFIX}/plugins/{name}"
    image = _image(engine, injected, layer)
    return plan_sidecar(name, needs, image, prefix, spec.sidecars[name], spec.env)


def _image(engine: docker.DockerClient, injected: Injected, layer: PluginLayer) -> str:
    """Of what the plugin needs, or else its own. Where the sandbox's image was brought from
    elsewhere there may be only that.
    """
    import docker.errors

    image = layer.needs_image or layer.image
    try:
        engine.images.get(image)
    except docker.errors.ImageNotFound:
        return injected.image
    return image
