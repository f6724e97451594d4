"""This machine's way to package archives, lent to a shell step while it runs.

Nothing of it stays in the image, so an image that has its own settings keeps them: apt's count
more than what is lent, and its own certificates are trusted beside this machine's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..host import SYSTEM_CA, apt_network_settings, proxy_arguments

# Where systems keep all that they trust in one file: Debian and Alpine, Fedora, SUSE, OpenSSL.
BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


@dataclass(frozen=True)
class Access:
    """What is lent: certificates (PEM, empty for none), proxies by variable, lines for apt.conf."""

    certificates: bytes
    proxies: Mapping[str, str]
    apt_settings: str

    @property
    def passwords(self) -> tuple[bytes, ...]:
        """What must not be shown: proxies with a name and a password in their address."""
        return tuple(value.encode() for value in self.proxies.values() if "@" in value)

    def trusted_with(self, read: Callable[[str], bytes | None]) -> bytes:
        """The certificates together with those of an image, whose files `read` gives."""
        if not self.certificates:
            return b""
        own = next((found for path in BUNDLES if (found := read(path))), b"")
        return b"\n".join([self.certificates.rstrip(b"\n"), own])


def access_of_this_machine(certificate: bytes | None, arguments: Mapping[str, str]) -> Access:
    """Reads what this machine has.

    Args:
        certificate: PEM, trusted beside what this machine trusts.
        arguments: the build's own, among which may be proxies.
    """
    bundle = Path(os.environ.get("SSL_CERT_FILE") or SYSTEM_CA)
    parts = [bundle.read_bytes() if bundle.is_file() else b"", certificate or b""]
    return Access(
        certificates=b"\n".join(part.rstrip(b"\n") for part in parts if part),
        proxies=proxy_arguments({**os.environ, **arguments}),
        apt_settings=apt_network_settings(),
    )
