"""Puts the runtime client into an image.

    from tether_image_builder import build_image

    result = build_image("python:3.12-slim")
    result.tag          # python_tether:0123456789abcdef

The names below are loaded at first use, so that importing this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if find_spec("click") is None:  # the client alone was installed
    raise ImportError("what builds images is not here: pip install 'tether-runtime[server]'")

if TYPE_CHECKING:
    from .build import build_image
    from .choice import ensure_environment
    from .environment import EnvironmentImage
    from .models import (
        BuildProgress,
        BuildResult,
        Layer,
        Leftover,
        PluginLayer,
        PruneResult,
    )
    from .mount import MountResult, prepare_mount
    from .prune import prune_images

__all__ = [
    "BuildProgress",
    "BuildResult",
    "EnvironmentImage",
    "Layer",
    "Leftover",
    "MountResult",
    "PluginLayer",
    "PruneResult",
    "build_image",
    "ensure_environment",
    "prepare_mount",
    "prune_images",
]

_HOMES = {
    "BuildProgress": ".models",
    "BuildResult": ".models",
    "EnvironmentImage": ".environment",
    "Layer": ".models",
    "Leftover": ".models",
    "MountResult": ".mount",
    "PluginLayer": ".models",
    "PruneResult": ".models",
    "build_image": ".build",
    "prepare_mount": ".mount",
    "prune_images": ".prune",
    "ensure_environment": ".choice",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)
