"""What a sidecar's container is made of. Kept in the sandbox's record, to make it anew."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field, JsonValue

from tether_runtime_client.protocol.message import Message

if TYPE_CHECKING:
    from tether_runtime_client.plugin.declaration import SidecarNeeds

SIDECAR_LABEL = "tether.sidecar"
OF_LABEL = "tether.sidecar.of"
CONTAINER_LABEL = "tether.sidecar.container"
USER = 47291
"""Whom sidecars run as: nobody else does, so that their processes may do nothing to the sandbox's
and, but for root's, theirs nothing to them.
"""
FOLDER = "/tmp"
WRITABLE = "2g"
FIRST_PORT, LAST_PORT = 10_000, 32_767
"""Below those that the kernel gives to connections."""

_HARDENED = {
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "read_only": True,
    "pids_limit": 2048,
    # Its mode alone would give way to that of the folder the engine makes for it.
    "tmpfs": {FOLDER: f"rw,nosuid,nodev,uid={USER},gid={USER},mode=700,size={WRITABLE}"},
    "log_config": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "1"}},
}
_PASSED_ON = re.compile(r"(?i:(https?|all|no|ftp)_proxy)|TZ|LANG|LC_[A-Z]+")
"""Variables of a sandbox that a sidecar has too."""


class SidecarPlan(Message):
    """One sidecar: whose, of which image, and what runs in it. It listens on 127.0.0.1."""

    plugin: str
    image: str
    prefix: str
    command: tuple[str, ...]
    environment: dict[str, str] = Field(repr=False)
    ready: str
    port: int
    config: str
    address: str = Field(repr=False)
    resources: dict[str, JsonValue] = Field(default_factory=dict)


def plan_sidecar(
    plugin: str,
    needs: SidecarNeeds,
    image: str,
    prefix: str,
    resources: Mapping[str, JsonValue],
    environment: Mapping[str, str],
) -> SidecarPlan:
    """For a sandbox with these variables. Its port and the word that goes with it are made up here:
    both are for this one sandbox.
    """
    port = FIRST_PORT + secrets.randbelow(LAST_PORT - FIRST_PORT + 1)
    token = secrets.token_hex(16)

    def filled(text: str) -> str:
        return needs.filled(text, port=port, token=token, prefix=prefix)

    passed = {name: value for name, value in environment.items() if _PASSED_ON.fullmatch(name)}
    own = {name: filled(value) for name, value in needs.environment.items()}
    return SidecarPlan(
        plugin=plugin,
        image=image,
        prefix=prefix,
        command=tuple(filled(word) for word in needs.command),
        environment={**passed, "HOME": FOLDER, "TMPDIR": FOLDER, **own},
        ready=filled(needs.ready),
        port=port,
        config=needs.config,
        address=filled(needs.address),
        resources=dict(resources),
    )


def sidecar_name(sandbox: str, plugin: str) -> str:
    """What its container is called. No sandbox's is called so, and no other sidecar's."""
    return f"tether_{sandbox}.{plugin}"


def sidecar_options(plan: SidecarPlan, sandbox: str, container: str) -> dict[str, Any]:
    """What the engine is asked for; `container` is the id of the sandbox's."""
    program, *arguments = plan.command
    return {
        **_HARDENED,
        **plan.resources,
        "image": plan.image,
        "entrypoint": [f"{plan.prefix}/{program}"],
        "command": arguments,
        "name": sidecar_name(sandbox, plan.plugin),
        "labels": {SIDECAR_LABEL: plan.plugin, OF_LABEL: sandbox, CONTAINER_LABEL: container},
        "environment": plan.environment,
        "working_dir": plan.prefix,
        "user": f"{USER}:{USER}",
        "network_mode": f"container:{container}",
        "pid_mode": f"container:{container}",
        "detach": True,  # else whoever attaches and goes would end that for good
        "auto_remove": True,
    }
