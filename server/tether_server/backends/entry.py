"""What a container runs first: the client's supervisor, and where the image's own entrypoint is."""

from __future__ import annotations

import re
import shlex
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tether_runtime_client.protocol.errors import StartFailed

from ..transports import Dial, name_of
from .base import SandboxSpec, plugin_config

if TYPE_CHECKING:
    import docker

    from tether_image_builder import PluginLayer

    from .base import Progress

PREFIX = "/opt/tether"
CLIENT = f"{PREFIX}/bin/tether-runtime-client"
SOCKET = f"{PREFIX}/socket/client.sock"
RUN = f"{PREFIX}/run"
STATE = f"{RUN}/state"
TCP_PORT = 5000
LISTENS_ON = {"tcp": "0.0.0.0", "ssh": "0.0.0.0", "netns": "127.0.0.1"}
PUBLISHED = ("tcp", "ssh")
"""Where the client listens on that port, for the transports that need it. For others it does not:
an agent's own service may want the port.
"""
WAITING_LINE = b"tether supervisor: waiting for the secret"
"""Logged by the supervisor when it has begun: behind an entrypoint that may be late, or never."""

OTHER_WAYS = (
    "Use entrypoint='beside', which runs it as a process of its own, or entrypoint='skip', which"
    ' leaves it out. To go through it, a script has to come to `exec "$@"` with its input and'
    " output untouched; an ENTRYPOINT in shell form drops its arguments"
)
MORE_MEMORY = "Give it more: the client alone takes 45 MB, and what it runs comes on top"
_OPTIONS = (
    (
        r"unable to find (user|group)|no matching entries",
        "Choose a user that the image has, or a number: user='1000:1000'",
    ),
    (
        r"network \S+ not found",
        "`docker network ls` lists those there are; without `network` it is the engine's own",
    ),
    (
        r"(?i)memory|specify the units",
        "Sizes are a number and a unit, such as mem_limit='2g'; the client alone takes 45 MB",
    ),
)
"""What the engine says, and which option of ours it is about."""
CLOSED_FOLDER = (
    "The container's user may not go into a folder above it: open that in the image (chmod a+x), or"
    " run as another user"
)
NOEXEC = (
    "Is the folder of the engine's volumes on a file system mounted noexec? Mount it without, or"
    " use inject='build', which needs no volume"
)


@dataclass(frozen=True, slots=True)
class Injected:
    """An image, the client in it or to be mounted into it, and what the image runs by itself.

    `volume` holds the environment to mount, `environment_image` the same; both are None where the
    client is in the image. `plugins` are those that it has.
    """

    image: str
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    stop_signal: str | None = None
    volume: str | None = None
    environment_image: str | None = None
    plugins: tuple[PluginLayer, ...] = ()

    @property
    def versions(self) -> dict[str, str]:
        """Those of the plugins, by name."""
        return {plugin.name: plugin.version for plugin in self.plugins}

    def goes_through(self, spec: SandboxSpec) -> bool:
        """Whether the client runs as arguments of the image's entrypoint; without one it cannot."""
        return spec.entrypoint == "through" and bool(self.entrypoint)


def inject(engine: docker.DockerClient, spec: SandboxSpec, progress: Progress) -> Injected:
    """Build the client into the spec's image, or fill a volume with it, unless that was done."""
    from tether_image_builder import build_image, prepare_mount

    def tell(step: object) -> None:
        progress(str(step))

    assert spec.image is not None
    names, packages = _installed_plugins(spec), spec.plugin_packages
    if spec.inject == "mount":
        mount = prepare_mount(
            spec.image, client=engine, progress=tell, plugins=names, plugin_packages=packages
        )
        own = mount.entrypoint, mount.command
        image, volume, environment = mount.image_id, mount.volume, mount.environment_image
        layers = mount.plugins
    else:
        built = build_image(
            spec.image, client=engine, progress=tell, plugins=names, plugin_packages=packages
        )
        own = built.entrypoint, built.command
        image, volume, environment = built.tag, None, None
        layers = built.plugins
    return Injected(
        image=image,
        entrypoint=own[0] or (),
        command=own[1] or (),
        stop_signal=_stop_signal(engine, image) if spec.entrypoint == "beside" else None,
        volume=volume,
        environment_image=environment,
        plugins=tuple(layers),
    )


def _installed_plugins(spec: SandboxSpec) -> Sequence[str]:
    if not spec.plugins:
        return ()
    from ..plugins.packages import from_here

    return from_here(spec.plugins, spec.plugin_packages)


def _stop_signal(engine: docker.DockerClient, image: str) -> str | None:
    config = engine.images.get(image).attrs["Config"]
    return str(config["StopSignal"]) if config.get("StopSignal") else None


def first_process(spec: SandboxSpec, injected: Injected) -> tuple[list[str], list[str]]:
    """The container's entrypoint and its arguments, whatever the image says."""
    client = [CLIENT, "supervise", *_supervisor_options(spec, injected), "--", *_options(spec)]
    if injected.goes_through(spec):
        return list(injected.entrypoint), client
    return client[:1], client[1:]


def _supervisor_options(spec: SandboxSpec, injected: Injected) -> list[str]:
    options = ["--registry", f"{STATE}/sessions", "--secret-timeout", _patience(spec)]
    if injected.goes_through(spec):
        options += ["--self-registry", f"{STATE}/supervisor", "--streams-of", "1"]
    if spec.entrypoint == "beside":
        words = (*injected.entrypoint, *injected.command)
        options += [part for word in words for part in ("--beside", word)]
        options += ["--beside-log", f"{STATE}/entrypoint.log"]
        options += ["--beside-signal", injected.stop_signal] if injected.stop_signal else []
    return options


def _patience(spec: SandboxSpec) -> str:
    """A restarted one waits for a server that has its secret: as long as its client would."""
    return "inf" if spec.lease_s is None else str(spec.lease_s)


def _options(spec: SandboxSpec) -> list[str]:
    lease = [] if spec.lease_s is None else ["--lease", str(spec.lease_s)]
    if spec.secret_lifetime_s is not None:
        lease += ["--secret-lifetime", str(spec.secret_lifetime_s)]
    host = LISTENS_ON.get(name_of(spec.transport))
    listen = ["--tcp", f"{host}:{TCP_PORT}"] if host else []
    if isinstance(spec.transport, Dial):
        listen += ["--dial", str(spec.transport.address)]
        listen += ["--dial-proxy", spec.transport.proxy] if spec.transport.proxy else []
        if spec.transport.identity is not None:
            authority = b64encode(spec.transport.identity.authority.encode()).decode()
            listen += ["--dial-authority", authority]
    bash = ["--bundled-bash", f"{PREFIX}/bin/bash"]
    startup = ["--startup", "profile"] if spec.login else []
    plugins = plugin_config(spec)
    return ["--unix", SOCKET, "--run-dir", RUN, *listen, *lease, *startup, *plugins, *bash]


def not_run_through(entrypoint: list[str], reason: str, log: str, *, mounted: bool) -> StartFailed:
    """The image's entrypoint did not come to run the client."""
    words = shlex.join(entrypoint)
    wrote = f"; the last of what it wrote:\n{log}\n" if log else "; it wrote nothing"
    return StartFailed(
        f"the image's ENTRYPOINT, {words}, did not run its arguments, the runtime client: {reason}"
        f"{wrote}",
        hint=NOEXEC if mounted and "Permission denied" in log else OTHER_WAYS,
        log=log,
    )


def refused(explanation: str, *, mounted: bool) -> StartFailed:
    """The engine could not start the container."""
    message = f"the container did not start: {explanation.strip()}"
    if f"stat {CLIENT}: permission denied" in explanation:
        return StartFailed(message, hint=CLOSED_FOLDER)
    if mounted and re.search(f'exec:? "?{CLIENT}"?: permission denied', explanation):
        return StartFailed(message, hint=NOEXEC)
    return StartFailed(message, hint=about_option(explanation))


def about_option(explanation: str) -> str:
    """What to do about an option that the engine has refused, in its own words."""
    for words, hint in _OPTIONS:
        if re.search(words, explanation):
            return hint
    return "Look at the options given to the runtime"
