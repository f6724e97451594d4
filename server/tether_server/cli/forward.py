"""`tether forward`: ports of a running sandbox, here, beside whoever controls it."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from ..ports.options import LOOPBACK, ForwardOptions
from .mapped import hold, show_list
from .names import SANDBOX
from .pairs import port_pairs
from .text import visible

if TYPE_CHECKING:
    from ..operator import OperatorRuntime
    from ..ports import Forward

TOKEN = "TETHER_FORWARD_TOKEN"


@click.command()
@click.argument("name", type=SANDBOX, required=False)
@click.argument("ports", nargs=-1, metavar="[HERE:]INSIDE...")
@click.option("--bind", default=LOOPBACK, show_default=True, help="The address to listen on.")
@click.option(
    "--token",
    is_flag=True,
    help=f"Ask for a token on each connection: that in {TOKEN}, or one that is made and shown.",
)
@click.option("--tls-cert", type=click.Path(exists=True), help="Speak TLS, with this certificate.")
@click.option("--tls-key", type=click.Path(exists=True), help="Its key, where it is not in there.")
@click.option(
    "--tls-ca", type=click.Path(exists=True), help="Only for who has a certificate of this one."
)
def command(
    name: str | None,
    ports: tuple[str, ...],
    bind: str,
    token: bool,
    tls_cert: str | None,
    tls_key: str | None,
    tls_ca: str | None,
) -> int:
    """Make ports of the sandbox NAME reachable here, until Ctrl-C or the sandbox's end.

    \b
    5050             port 5050 inside, the same number here
    5051:5050        port 5050 inside, port 5051 here
    :5050            port 5050 inside, any free port here
    5051:/run/app    a UNIX socket inside
    weather.map      the port that a plugin declares, any free port here
    /tmp/app:5050    a UNIX socket here

    A service that listens on the sandbox's loopback only is reached too. Addresses that other
    machines reach (--bind) need --token or --tls-cert. Who connects shows a token as
    `Authorization: Bearer TOKEN`, `X-Tether-Token: TOKEN` or `?tether_token=TOKEN`, or, where no
    HTTP is spoken, in a CONNECT request for a proxy.

    Without ports it lists what is forwarded and reversed: of the sandbox NAME, or without a name
    on this machine.
    """
    if name is None or not ports:
        show_list(name)
        return 0
    pairs = _pairs(ports, token=token)
    given = token and (os.environ.get(TOKEN) or True)
    tls = _tls(tls_cert, tls_key, tls_ca)

    async def make(runtime: OperatorRuntime) -> list[Forward]:
        made = []
        for here, inside in pairs:
            options: ForwardOptions = {"token": given, "tls": tls}
            if isinstance(here, str):
                options["path"] = here
            else:
                options |= {"port": here, "bind": bind}
            made.append(await runtime.forward(inside, **options))
        return made

    return hold(name, make, _describe)


def _pairs(ports: tuple[str, ...], *, token: bool) -> list[tuple[int | str, int | str]]:
    try:
        return port_pairs(ports, names=True)
    except click.UsageError as problem:
        if not token:
            raise
        hint = f"--token takes no word: a token of your own goes into {TOKEN}"
        raise click.UsageError(f"{problem.message} ({hint})") from None


def _describe(forward: Forward) -> str:
    shown = f"{forward.url} leads to {visible(forward.inside)} in the sandbox"
    if forward.here not in forward.url:
        shown += f"; it listens on {forward.here}, which other machines reach"
    if forward.protection.tls is not None:
        shown += "; by TLS"
    return shown if forward.token is None else f"{shown}; token: {forward.token}"


def _tls(cert: str | None, key: str | None, authority: str | None) -> ssl.SSLContext | None:
    if cert is None:
        if key or authority:
            raise click.UsageError("--tls-key and --tls-ca go with --tls-cert")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with _usable("--tls-cert", cert, "a certificate in PEM"):
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cert)
    missing = "the certificate's key" if key else "the certificate's key with it: give --tls-key"
    with _usable("--tls-key" if key else "--tls-cert", key or cert, missing):
        context.load_cert_chain(cert, key)
    if authority is not None:
        with _usable("--tls-ca", authority, "a certificate in PEM"):
            context.load_verify_locations(authority)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@contextmanager
def _usable(option: str, path: str, wanted: str) -> Iterator[None]:
    try:
        yield
    except ssl.SSLError:
        raise click.UsageError(f"{option}: {path} has not {wanted}") from None
    except OSError as problem:
        raise click.UsageError(f"{option}: {path}: {problem.strerror}") from None
