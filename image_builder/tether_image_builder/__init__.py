"""Puts the runtime client into an image.

    from tether_image_builder import build_image

    result = build_image("python:3.12-slim")
    result.tag          # python_tether:0123456789abcdef

The names below are loaded at first use, so that importing this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .build import build_image
    from .environment import EnvironmentImage, ensure_environment
    from .models import BuildProgress, BuildResult

__all__ = ["BuildProgress", "BuildResult", "EnvironmentImage", "build_image", "ensure_environment"]

_HOMES = {
    "BuildProgress": ".models",
    "BuildResult": ".models",
    "EnvironmentImage": ".environment",
    "build_image": ".build",
    "ensure_environment": ".environment",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)
