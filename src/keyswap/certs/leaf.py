"""Server certificates from our authority, each with a key of its own.

The engine left to itself serves with the authority's key, so that every handshake works with the one key that must not
be lost. Here that key signs, and does nothing else.
"""

import datetime
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from keyswap.certs import build, ca

DEFAULT_DAYS = 30
"""Longer than any cache of leaves should keep one, and well inside what clients accept (398 days)."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A server certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    chain: tuple[x509.Certificate, ...] = ()
    """What a server sends after the certificate: an intermediate and its parents; never a self-signed root."""

    def fresh(self, now: datetime.datetime | None = None) -> bool:
        """Whether a cache may still hand it out: more than half of its time is left."""
        start, end = self.certificate.not_valid_before_utc, self.certificate.not_valid_after_utc
        return (now or datetime.datetime.now(datetime.UTC)) < start + (end - start) / 2

    @property
    def key_pem(self) -> bytes:
        """PKCS #8, not encrypted."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def chain_pem(self) -> bytes:
        """The certificate and what follows it, in the order of the handshake."""
        return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in (self.certificate, *self.chain))


class Issuer:
    """An authority that is open for signing. Costs about 0.2 ms a leaf; the caller keeps what it gets."""

    __slots__ = ("_chain", "_key")

    def __init__(self, key: build.IssuerKey, chain: tuple[x509.Certificate, ...]) -> None:
        self._key = key
        self._chain = chain

    @classmethod
    def open(cls, directory: Path, *, passphrase: bytes | None = None) -> Self:
        """Read the authority of this directory; raises CertificateError as `ca.load` does."""
        return cls(*ca.open_authority(directory, passphrase))

    def leaf(self, host: str, *others: str, days: int = DEFAULT_DAYS) -> Leaf:
        """A leaf for these host names and addresses, that does not outlive the authority. Raises CertificateError."""
        key = build.new_key()
        certificate = build.leaf_certificate(
            self._chain[0],
            self._key,
            key.public_key(),
            (host, *others),
            datetime.datetime.now(datetime.UTC),
            datetime.timedelta(days=days),
        )
        return Leaf(certificate, key, tuple(each for each in self._chain if each.subject != each.issuer))
