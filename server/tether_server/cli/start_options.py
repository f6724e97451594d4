"""The options of every subcommand that starts a sandbox."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from ..backends.base import ENTRYPOINTS, INJECTS, START_TIMEOUT_S, TRANSPORTS
from .plugin_options import PLUGINS, SIDECAR, asked_for, asked_sidecars, resource

if TYPE_CHECKING:
    from ..backends import Progress
    from ..runtime import EventStreamRuntime
    from ..transports import TransportSettings

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class StartOptions:
    """What was asked for on the command line."""

    image: str | None
    local: bool
    env: tuple[str, ...]
    workdir: str | None
    user: str | None
    mount: tuple[str, ...]
    memory: str | None
    cpus: float | None
    pids_limit: int | None
    resource: tuple[str, ...]
    network: str | None
    transport: TransportSettings
    inject: str
    entrypoint: str
    plugin: tuple[str, ...]
    plugin_config: tuple[str, ...]
    plugin_package: tuple[str, ...]
    sidecar: tuple[str, ...]
    name: str | None
    keep: bool
    start_timeout: float

    def open(self, attach: str | None, progress: Progress) -> EventStreamRuntime:
        """A runtime for a fresh sandbox, or for the running one named `attach`, beside its server.

        Raises `click.UsageError`, also for an option that only a fresh sandbox can have.
        """
        from ..operator import OperatorRuntime

        if attach is None:
            return self.runtime(progress)
        if self.for_new():
            raise click.UsageError(f"{self.for_new()} is for a fresh sandbox, not with --attach")
        return OperatorRuntime.beside(attach, progress=progress)

    def runtime(self, progress: Progress) -> EventStreamRuntime:
        """A runtime for these; enter it to start the sandbox. Raises `click.UsageError`."""
        from ..runtime import EventStreamRuntime

        self._check_image()
        try:
            return EventStreamRuntime(
                self.image,
                backend="local" if self.local else "docker",
                env=environment(self.env),
                workdir=self.workdir,
                user=self.user,
                mounts=self.mount,
                resources=self.resources(),
                network=self.network,
                transport=self.transport,
                inject=self.inject,
                entrypoint=self.entrypoint,
                plugins=asked_for(self.plugin, self.plugin_config, self.plugin_package),
                plugin_packages=self.plugin_package,
                sidecars=asked_sidecars(self.sidecar),
                name=self.name,
                keep=self.keep,
                start_timeout_s=self.start_timeout,
                progress=progress,
            )
        except ValueError as problem:
            raise click.UsageError(str(problem)) from None

    def resources(self) -> dict[str, object]:
        """The limits as the engine's SDK names them. Raises `click.UsageError`."""
        limits: dict[str, object] = dict(map(resource, self.resource))
        if self.memory is not None:
            limits["mem_limit"] = self.memory
        if self.cpus is not None:
            limits["nano_cpus"] = round(self.cpus * 1e9)
        if self.pids_limit is not None:
            limits["pids_limit"] = self.pids_limit
        return limits

    def for_new(self) -> str:
        """The options given that only a fresh sandbox can have, for a message; or nothing."""
        given = {
            "an image": self.image,
            "--local": self.local,
            "--user": self.user,
            "--mount": self.mount,
            "--memory": self.memory,
            "--cpus": self.cpus,
            "--pids-limit": self.pids_limit,
            "--resource": self.resource,
            "--network": self.network,
            "--transport": self.transport != "auto",
            "--inject": self.inject != "build",
            "--entrypoint": self.entrypoint != "skip",
            "--plugin": self.plugin,
            "--plugin-config": self.plugin_config,
            "--plugin-package": self.plugin_package,
            "--sidecar": self.sidecar,
            "--name": self.name,
            "--keep": self.keep,
            "--start-timeout": self.start_timeout != START_TIMEOUT_S,
        }
        return ", ".join(option for option, value in given.items() if value)

    def _check_image(self) -> None:
        if self.local and self.image is not None:
            raise click.UsageError(f"with --local there is no image, and {self.image!r} was given")
        if not self.local and self.image is None:
            raise click.UsageError("an image is missing (or --local)")


def environment(words: tuple[str, ...]) -> dict[str, str]:
    """`K=V` sets, `K` alone passes on what this process has, if it has it."""
    values = {}
    for word in words:
        name, given, value = word.partition("=")
        if not name:
            raise click.UsageError(f"{word!r} is no variable: K=V, or K to pass it on")
        if given:
            values[name] = value
        elif name in os.environ:
            values[name] = os.environ[name]
    return values


def start_options(function: F) -> F:
    """Add them to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


class ImageName(click.types.StringParamType):
    """An image's name; those of the local engine are offered, any is taken."""

    name = "image"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The images that start like that; none without an engine."""
        from tether_image_builder.completion import image_names

        return [CompletionItem(name) for name in image_names(incomplete)]


IMAGE = ImageName()


class TransportName(click.types.StringParamType):
    """A transport's name, completed by the shell."""

    name = "transport"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The names."""
        return [CompletionItem(name) for name in TRANSPORTS if name.startswith(incomplete)]


_WHERE = {"dial": "HOST:PORT", "ssh": "[USER@]HOST[:PORT]"}


def transport(ctx: click.Context, param: click.Parameter, text: str) -> TransportSettings:
    """A name, or with where it leads: `dial=HOST:PORT`, `ssh=HOST`. Raises `click.BadParameter`."""
    from ..transports.settings import Dial, Ssh

    name, given, where = text.partition("=")
    try:
        if given and name == "dial":
            return Dial(address=where)
        if given and name == "ssh":
            return Ssh(host=where)
    except ValueError:
        shape = _WHERE[name]
        raise click.BadParameter(f"{where!r} is no address: {name}={shape}") from None
    if given or name not in TRANSPORTS:
        ways = " and ".join(f"{name}={shape}" for name, shape in _WHERE.items())
        known = f"{', '.join(TRANSPORTS)}, {ways}"
        raise click.BadParameter(f"there is no transport {text!r}; there are {known}")
    return name


_OPTIONS: list[Callable[[F], F]] = [
    click.option("--local", is_flag=True, help="In a process on this machine, not isolated."),
    click.option("-e", "--env", multiple=True, metavar="K=V", help="Set a variable; K passes it."),
    click.option(
        "-w", "--workdir", metavar="DIR",
        help="Start in this directory; of an image, the engine makes it if need be.",
    ),
    click.option("-u", "--user", metavar="USER", help="Run as this user (name, uid or uid:gid)."),
    click.option(
        "-v",
        "--mount",
        multiple=True,
        metavar="HOST:DIR[:ro]",
        help="Mount a host folder, or by a plain name a volume.",
    ),
    click.option("-m", "--memory", metavar="SIZE", help="The most memory it may use, such as 2g."),
    click.option(
        "--cpus", type=click.FloatRange(min=0.01), metavar="N", help="How many processors, as 1.5."
    ),
    click.option(
        "--pids-limit", type=click.IntRange(min=1), metavar="N", help="The most processes."
    ),
    click.option(
        "--resource", multiple=True, metavar="NAME=VALUE",
        help="Another limit, as the engine's SDK names it.",
    ),
    click.option("--network", metavar="NAME", help="An engine network, or none."),
    click.option(
        "--transport", type=TransportName(), default="auto", show_default=True,
        callback=transport, metavar="NAME",
        help=f"How the sandbox is reached: {', '.join(TRANSPORTS)}, dial=HOST:PORT or"
        " ssh=[USER@]HOST[:PORT].",
    ),
    click.option(
        "--inject", type=click.Choice(INJECTS), default="build", show_default=True,
        help="Build the client into a copy of the image, or mount it.",
    ),
    click.option(
        "--entrypoint", type=click.Choice(ENTRYPOINTS), default="skip", show_default=True,
        help="Go through the image's ENTRYPOINT, run it beside, or skip it.",
    ),
    click.option(
        "--plugin", "--plugins", "plugin", type=PLUGINS, multiple=True, metavar="NAME[,NAME…]",
        help="Have this plugin in the sandbox; `tether plugins` lists those there are.",
    ),
    click.option(
        "--plugin-config", multiple=True, metavar="NAME=JSON",
        help="Configure a plugin; NAME=@FILE reads the JSON from a file.",
    ),
    click.option(
        "--plugin-package", multiple=True, metavar="PACKAGE",
        help="A package that brings further plugins: as pip takes it, or a folder.",
    ),
    click.option(
        "--sidecar", type=SIDECAR, multiple=True, metavar="NAME[,KEY=VALUE…]",
        help="Run part of this plugin in a container of its own, with these limits.",
    ),
    click.option("--name", metavar="NAME", help="Name the sandbox."),
    click.option("--keep", is_flag=True, help="Leave the sandbox when the command has ended."),
    click.option(
        "--start-timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS",
        default=START_TIMEOUT_S, show_default=True, help="How long the client may take to answer.",
    ),
]  # fmt: skip
"""In the order of the help."""
