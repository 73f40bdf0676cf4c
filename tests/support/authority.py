"""A certificate authority for the tests' own servers, and the TLS contexts it gives them.

It stands for the public roots: keyswap trusts it by `ca_file`, never by switching verification off.
"""

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LOCAL = ("localhost", "127.0.0.1", "::1")
"""The names of a certificate shown to a client that sends no SNI."""
VALID = datetime.timedelta(days=2)
SKEW = datetime.timedelta(hours=1)


class Authority:
    """A P-256 CA whose files live in `directory`; leaves verify under VERIFY_X509_STRICT."""

    def __init__(self, directory: Path, name: str = "provider test CA") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._certificate = self._sign_own()
        self._contexts: dict[tuple[str, tuple[str, ...]], ssl.SSLContext] = {}
        self.pem = directory / "ca.pem"
        """The certificate, what a client trusts."""
        self.pem.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def server_context(self, name: str, alpn: tuple[str, ...]) -> ssl.SSLContext:
        """The context for a server called `name` (a host name, or an address); made once."""
        if (name, alpn) not in self._contexts:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.leaf((name,)))
            context.set_alpn_protocols(list(alpn))
            self._contexts[name, alpn] = context
        return self._contexts[name, alpn]

    def local_context(self, alpn: tuple[str, ...]) -> ssl.SSLContext:
        """A fresh context for a connection whose name is not known yet; shows the certificate of `LOCAL`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.leaf(LOCAL))
        context.set_alpn_protocols(list(alpn))
        return context

    def leaf(self, names: tuple[str, ...]) -> Path:
        """A PEM file with key and certificate for `names`; made once a set of names."""
        path = self._directory / f"leaf-{'_'.join(names).replace('*', 'any').replace(':', '.')}.pem"
        if not path.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            path.write_bytes(_key_pem(key) + self._sign_leaf(key, names).public_bytes(serialization.Encoding.PEM))
        return path

    def _sign_own(self) -> x509.Certificate:
        public = self._key.public_key()
        return (
            self._builder(self._name, public)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(ca=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def _sign_leaf(self, key: ec.EllipticCurvePrivateKey, names: tuple[str, ...]) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            self._builder(subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
            .add_extension(issuer, critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder(issuer_name=self._name, subject_name=subject, public_key=key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - SKEW)
            .not_valid_after(now + VALID)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
