"""The Dockerfile that puts the runtime client into an image: pure text out of facts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

PREFIX = "/opt/tether"
CODE = f"{PREFIX}/code"
PLUGINS = f"{PREFIX}/plugins"
CLIENT = f"{PREFIX}/bin/tether-runtime-client"

# Run by the static bash of an earlier environment, whatever the image has of variables.
_REMOVE = (
    "unset -v ${{!LD_*}} ${{!PYTHON*}}; "
    f'exec {PREFIX}/bin/python3 -I -c "import shutil; {{0}}"'
)
CLEAR = _REMOVE.format(f"shutil.rmtree('{PREFIX}')")

# Labels of a built image.
FINGERPRINT_LABEL = "tether.fingerprint"
BASE_LABEL = "tether.base"
ENVIRONMENT_LABEL = "tether.environment"
ENVIRONMENT_FINGERPRINT_LABEL = "tether.environment.fingerprint"
PLUGINS_LABEL = "tether.plugins"
PLUGIN_LABEL = "tether.plugin."

# The first version put the client in place of ENTRYPOINT and CMD, and these in labels, as JSON.
FORMER_ENTRYPOINT = (CLIENT, "supervise")
FORMER_ENTRYPOINT_LABEL = "tether.entrypoint"
FORMER_COMMAND_LABEL = "tether.cmd"

Words = tuple[str, ...] | None


@dataclass(frozen=True)
class PluginCopy:
    """The image of a plugin's code, which of its plugins (None for all that it has), and the image
    of what that needs.
    """

    name: str | None
    image: str
    needs: str | None = None


@dataclass(frozen=True)
class Source:
    """What is rendered: the image, and where the environment and the plugins are copied from.

    `restored` is the ENTRYPOINT and CMD to write where the image has lost its own. `cleared_as` is
    the image's USER where there is a client in it already, of which nothing may stay; where it may,
    `cleared_plugins` are those of its plugins that may not. `labels` are about the plugins.
    """

    base: str
    environment: str
    environment_fingerprint: str
    environment_base_image: str
    environment_image: str
    restored: tuple[Words, Words] | None = None
    cleared_as: str | None = None
    cleared_plugins: tuple[str, ...] | None = None
    plugins: tuple[PluginCopy, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


def render(source: Source, *, base: str | None = None, fingerprint: str | None = None) -> str:
    """The whole Dockerfile, for the classic builder.

    All that the image says of how it runs stays as it is: whoever starts it chooses how the client
    runs with it. COPY writes as root whatever USER says. What is large and changes seldom comes
    first, so that a change of the client's code, or of a plugin's, leaves it in the cache.

    Args:
        source: what is rendered.
        base: what to write after FROM, where it is not `source.base`.
        fingerprint: the image's fingerprint, which is taken over the text without it.
    """
    labels = _labels(source)
    if fingerprint is not None:
        labels[FINGERPRINT_LABEL] = fingerprint
    lines = [
        f"FROM {base or source.base}",
        *_copies(source),
        " \\\n    ".join(
            ["LABEL", *(f"{_quoted(key)}={_quoted(labels[key])}" for key in sorted(labels))]
        ),
        *_restoring(source.restored),
    ]
    return "\n".join(lines) + "\n"


def _labels(source: Source) -> dict[str, str]:
    return {
        BASE_LABEL: source.base,
        ENVIRONMENT_LABEL: source.environment,
        ENVIRONMENT_FINGERPRINT_LABEL: source.environment_fingerprint,
        **source.labels,
    }


def _copies(source: Source) -> list[str]:
    """The environment, where it is not in the image already; what plugins need; the code."""
    needs = [_copied(plugin.needs, plugin.name) for plugin in source.plugins if plugin.needs]
    code = [_copied(plugin.image, plugin.name) for plugin in source.plugins]
    if source.cleared_plugins is not None:
        cleared = _clearing(source.cleared_as, remove_plugins(source.cleared_plugins))
        return [*cleared, *needs, *code]
    return [
        *_clearing(source.cleared_as, CLEAR),
        f"COPY --from={source.environment_base_image} {PREFIX} {PREFIX}",
        *needs,
        f"COPY --from={source.environment_image} {CODE} {CODE}",
        *code,
    ]


def remove_plugins(names: Iterable[str]) -> str:
    """A script as `CLEAR` is, for these plugins; empty for none."""
    removed = "; ".join(f"shutil.rmtree('{PLUGINS}/{name}')" for name in names)
    return _REMOVE.format(removed) if removed else ""


def _copied(image: str, name: str | None) -> str:
    place = PLUGINS if name is None else f"{PLUGINS}/{name}"
    return f"COPY --from={image} {place} {place}"


def _clearing(user: str | None, script: str) -> list[str]:
    """COPY merges folders, and a module or a package of another version must not be found."""
    if user is None or not script:
        return []
    command = [f"{PREFIX}/bin/bash", "-p", "-c", script]
    return ["USER 0", f"RUN {json.dumps(command)}", f"USER {_quoted(user)}"]


def _restoring(restored: tuple[Words, Words] | None) -> list[str]:
    """In this order: an ENTRYPOINT drops the CMD that was there before."""
    if restored is None:
        return []
    entrypoint, command = restored
    return [f"ENTRYPOINT {json.dumps(entrypoint or [])}", f"CMD {json.dumps(command or [])}"]


def _quoted(text: str) -> str:
    """A Dockerfile's double-quoted string, in which `$` would name a variable."""
    for special in ("\\", '"', "$"):
        text = text.replace(special, "\\" + special)
    return f'"{text}"'


def own_command(
    entrypoint: Words, command: Words, labels: Mapping[str, str]
) -> tuple[Words, Words]:
    """An image's own ENTRYPOINT and CMD, also where the first version had taken their place.

    An image made *from* such a one may have a CMD of its own, which then counts.
    """
    if entrypoint != FORMER_ENTRYPOINT:
        return entrypoint, command
    kept = _words_in_label(labels, FORMER_COMMAND_LABEL)
    return _words_in_label(labels, FORMER_ENTRYPOINT_LABEL), command or kept


def _words_in_label(labels: Mapping[str, str], name: str) -> Words:
    words = json.loads(labels.get(name, "null"))
    return None if words is None else tuple(words)
