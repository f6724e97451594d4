"""What a transport's settings leave open, filled in before a container is made."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from tether_image_builder.errors import engine_host
from tether_runtime_client.protocol.errors import StartFailed
from tether_runtime_client.protocol.message import changed

from ..transports import Dial, DialTransport, Ssh, Tcp, TransportSettings, name_of
from ..transports.identity import make_identity
from ..transports.settings import join_address, split_address
from .base import SandboxSpec
from .engine_address import engine_address

if TYPE_CHECKING:
    import docker

_Securable = TypeVar("_Securable", Dial, Tcp)

GIVE_ADDRESS = "Say where the sandbox finds this server: transport=Dial(address='HOST:PORT')"


def dialled(secret: str, transport: TransportSettings) -> DialTransport | None:
    """The transport for settings that are complete; None for another one's."""
    if not isinstance(transport, Dial):
        return None
    at = transport.listen or transport.address
    if at is None:
        return None
    known = None if transport.address and transport.address.endswith(":0") else transport.address
    return DialTransport(secret, split_address(at), transport.identity, dialled=known)


def secret_line(secret: str, transport: TransportSettings) -> str:
    """What a container's first process is given: the secret, and what to listen with by TLS."""
    if isinstance(transport, Tcp) and transport.identity is not None:
        return f"{secret} {transport.identity.handed_over()}"
    return secret


def _identified(settings: _Securable) -> _Securable:
    """With an authority of the sandbox's own, where TLS is asked for."""
    if not settings.tls or settings.identity is not None:
        return settings
    return changed(settings, identity=make_identity())


def complete(
    engine: docker.DockerClient, spec: SandboxSpec
) -> tuple[SandboxSpec, DialTransport | None]:
    """The spec with what its transport lacks, and the one to dial. Raises `StartFailed`."""
    if name_of(spec.transport) == "ssh":
        return replace(spec, transport=_through_ssh(spec.transport)), None
    if isinstance(spec.transport, Tcp):
        return replace(spec, transport=_identified(spec.transport)), None
    if name_of(spec.transport) != "dial":
        return spec, None
    settings = spec.transport if isinstance(spec.transport, Dial) else Dial()
    if settings.address is None:
        port = split_address(settings.listen)[1] if settings.listen else 0
        address = join_address(_engine_end(engine, spec.network), port)
        settings = changed(settings, address=address)
    settings = _identified(settings)
    spec = replace(spec, transport=settings)
    return spec, dialled(spec.secret, settings)


def listen(spec: SandboxSpec, dial: DialTransport) -> SandboxSpec:
    """Listen, on the loop; the spec with the port, where any would do. Raises `StartFailed`."""
    assert isinstance(spec.transport, Dial)
    try:
        host, port = dial.listen()
    except OSError as problem:
        hint = "Where the sandbox's way here is another address than this machine's, say `listen`"
        raise StartFailed(f"this server cannot be dialled: {problem.strerror}", hint=hint) from None
    name, asked = split_address(str(spec.transport.address))
    address, at = join_address(name, asked or port), join_address(host, port)
    return replace(spec, transport=changed(spec.transport, address=address, listen=at))


def _through_ssh(transport: TransportSettings) -> Ssh:
    settings = transport if isinstance(transport, Ssh) else Ssh()
    if settings.host is not None:
        return settings
    scheme, _, host = engine_host().partition("://")
    if scheme != "ssh":
        text = "the SSH server of the engine's machine is not known: DOCKER_HOST names none"
        raise StartFailed(text, hint="Name it: transport=Ssh(host='USER@HOST')")
    return changed(settings, host=host.rstrip("/"))


def _engine_end(engine: docker.DockerClient, network: str | None) -> str:
    """This machine's address in a container's network."""
    if network == "host":
        return "127.0.0.1"
    if not engine_host().startswith("unix://"):
        raise StartFailed("the engine is on another machine", hint=GIVE_ADDRESS)
    import docker.errors

    try:
        address = engine_address(engine, network or "bridge")
    except docker.errors.APIError as problem:
        text = f"the network of the container is not known: {problem.explanation}"
        raise StartFailed(text, hint=GIVE_ADDRESS) from None
    if address is None:
        text = f"from network {network or 'bridge'!r} no way leads to this server"
        raise StartFailed(text, hint=GIVE_ADDRESS)
    return address
