"""An authority for one sandbox, and the one certificate that it signs."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pydantic import Field

from tether_runtime_client.protocol.message import Message
from tether_runtime_client.protocol.tls import DOMAIN

if TYPE_CHECKING:
    from cryptography import x509

LIFE = timedelta(days=3650)
SLACK = timedelta(days=365)
"""Clocks of sandboxes may be far behind. What is trusted ends with the sandbox in any case."""


class Identity(Message):
    """PEM texts: who is trusted, and the certificate and key of the end that listens."""

    authority: str
    certificate: str = Field(repr=False)
    key: str = Field(repr=False)

    def handed_over(self) -> str:
        """What the sandbox gets, behind its secret, to listen with: one word."""
        return b64encode(f"{self.certificate}\n{self.key}".encode()).decode()


def make_identity() -> Identity:
    """A new authority's. Its own key is gone when this returns: it signs nothing else."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    now = datetime.now(UTC)
    signing, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tether sandbox authority")])
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, DOMAIN)])
    authority_id = x509.SubjectKeyIdentifier.from_public_key(signing.public_key())

    def builder(name: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder(issuer, name, key, x509.random_serial_number())
            .not_valid_before(now - SLACK)
            .not_valid_after(now + LIFE)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )

    authority = (
        builder(issuer, signing.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .sign(signing, hashes.SHA256())
    )
    issued_by = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority_id)
    certificate = (
        builder(subject, own.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(f"*.{DOMAIN}")]), critical=False)
        .add_extension(issued_by, critical=False)
        .sign(signing, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    key = own.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    texts = (authority.public_bytes(pem), certificate.public_bytes(pem), key)
    return Identity(**dict(zip(Identity.model_fields, map(bytes.decode, texts), strict=True)))


def _usage(*, signs: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
