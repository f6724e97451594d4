"""What cannot be asked of a sandbox: refused before anything is made."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import inf

LEAST_LIFETIME_S = 1.0
"""Of a secret: a start has to be over by then."""

_MOUNT = re.compile(r"[^:]+:/[^:]*(:[\w,]+)?")


def check_lifetime(given: object) -> None:
    """Raises `ValueError` for no lifetime of a secret."""
    if given is None:
        return
    if not isinstance(given, int | float) or not LEAST_LIFETIME_S <= given < inf:
        raise ValueError("secret_lifetime_s has to be a number of seconds, 1 or more, or None")


def check_seconds(name: str, given: object) -> None:
    """Raises `ValueError` for a time that is none, or over before it begins."""
    if not isinstance(given, int | float) or not 0 < given < inf:
        raise ValueError(f"{name} has to be a number of seconds above 0, and is {given!r}")


def check_env(env: Mapping[str, str]) -> None:
    """Raises `ValueError` for what no program can be given as a variable."""
    for name, value in env.items():
        if not isinstance(name, str) or not name or {"=", "\0"} & set(name):
            raise ValueError(f"env has {name!r}, which is no name of a variable")
        if not isinstance(value, str) or "\0" in value:
            raise ValueError(f"env[{name!r}] has to be a text without NUL, and is {value!r}")


def check_mount_forms(mounts: Sequence[str]) -> None:
    """Raises `ValueError` for what is no mount. One without a place in the sandbox would be an
    empty volume to the engine, with nothing of the folder that is named.
    """
    for mount in mounts:
        if not _MOUNT.fullmatch(mount):
            form = "HOST:CONTAINER[:ro], as in '/srv/data:/data:ro'"
            raise ValueError(f"{mount!r} is no mount: it has the form {form}")


def check_resources(resources: Mapping[str, object]) -> None:
    """Raises `ValueError` for a limit that the engine does not know, or that is not for users."""
    from docker.models.containers import RUN_CREATE_KWARGS, RUN_HOST_CONFIG_KWARGS

    allowed = {*RUN_CREATE_KWARGS, *RUN_HOST_CONFIG_KWARGS} - _OWN
    wrong = sorted(set(resources) - allowed)
    if wrong:
        raise ValueError(
            f"there is no resource {wrong[0]!r}; there are {', '.join(sorted(allowed))}"
        )


_OWN = {
    *("image", "entrypoint", "command", "name", "labels", "environment", "working_dir", "user"),
    *("network", "volumes", "volumes_from", "mounts", "ports", "stdin_open", "tty", "detach"),
    "auto_remove",
}
"""What the engine is asked for in other options of the runtime, or what the runtime needs."""
