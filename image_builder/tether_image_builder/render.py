"""The Dockerfile that puts the runtime client into an image: pure text out of facts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PREFIX = "/opt/tether"
CODE = f"{PREFIX}/code"
ENTRYPOINT = (f"{PREFIX}/bin/tether-runtime-client", "supervise")

# Labels of a built image. `ENTRYPOINT_LABEL` and `COMMAND_LABEL` hold what the image had, as JSON.
FINGERPRINT_LABEL = "tether.fingerprint"
BASE_LABEL = "tether.base"
ENVIRONMENT_LABEL = "tether.environment"
ENVIRONMENT_FINGERPRINT_LABEL = "tether.environment.fingerprint"
ENTRYPOINT_LABEL = "tether.entrypoint"
COMMAND_LABEL = "tether.cmd"


@dataclass(frozen=True)
class Source:
    """What is rendered: the image, what it runs, and where the environment is copied from."""

    base: str
    environment: str
    environment_fingerprint: str
    environment_base_image: str
    environment_image: str
    entrypoint: tuple[str, ...] | None
    command: tuple[str, ...] | None


def render(source: Source, *, base: str | None = None, fingerprint: str | None = None) -> str:
    """The whole Dockerfile, for the classic builder.

    USER, WORKDIR, ENV, EXPOSE, VOLUME, HEALTHCHECK and the image's labels stay as they are; COPY
    writes as root whatever USER says. The environment comes in two layers, so that a change of
    the client's code leaves the large one in the cache. An empty CMD keeps the image's own from
    being passed to the client.

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
        f"COPY --from={source.environment_base_image} {PREFIX} {PREFIX}",
        f"COPY --from={source.environment_image} {CODE} {CODE}",
        " \\\n    ".join(
            ["LABEL", *(f"{_quoted(key)}={_quoted(labels[key])}" for key in sorted(labels))]
        ),
        f"ENTRYPOINT {json.dumps(ENTRYPOINT)}",
        "CMD []",
    ]
    return "\n".join(lines) + "\n"


def _labels(source: Source) -> dict[str, str]:
    return {
        BASE_LABEL: source.base,
        ENVIRONMENT_LABEL: source.environment,
        ENVIRONMENT_FINGERPRINT_LABEL: source.environment_fingerprint,
        ENTRYPOINT_LABEL: _as_json(source.entrypoint),
        COMMAND_LABEL: _as_json(source.command),
    }


def _as_json(words: Sequence[str] | None) -> str:
    return json.dumps(None if words is None else list(words))


def _quoted(text: str) -> str:
    """A Dockerfile's double-quoted string, in which `$` would name a variable."""
    for special in ("\\", '"', "$"):
        text = text.replace(special, "\\" + special)
    return f'"{text}"'


def words_in_label(labels: Mapping[str, str], name: str) -> tuple[str, ...] | None:
    """An ENTRYPOINT or CMD out of a label, None where the image had none."""
    words = json.loads(labels.get(name, "null"))
    return None if words is None else tuple(words)
