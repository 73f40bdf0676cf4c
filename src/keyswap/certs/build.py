"""The certificates keyswap signs, as pure functions over the builders.

Both kinds carry all that RFC 5280 asks for and strict verifiers look up (Python's VERIFY_X509_STRICT, `openssl verify
-x509_strict`, Go, Java): critical basic constraints and key usage, and key identifiers that match.
"""

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from keyswap.certs import names
from keyswap.errors import CertificateError

IssuerKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
"""keyswap makes P-256 keys; an admin may bring an RSA intermediate of their own."""

BACKDATED = datetime.timedelta(days=2)
"""A sandbox's clock may run behind."""
LONGEST_COMMON_NAME = 64
"""RFC 5280, appendix A: ub-common-name."""


def new_key() -> ec.EllipticCurvePrivateKey:
    """A P-256 key: small, fast to sign with, and known to every client."""
    return ec.generate_private_key(ec.SECP256R1())


def authority_certificate(
    key: ec.EllipticCurvePrivateKey,
    name: str,
    permitted: tuple[str, ...],
    now: datetime.datetime,
    validity: datetime.timedelta,
) -> x509.Certificate:
    """A self-signed authority that signs leaves only (path length 0); `permitted` are subtrees, none: any name."""
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    # The subject tells a rotated authority from the one before it, in every list a person looks at.
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, name),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{name} CA {now:%Y-%m-%d} {identifier.digest.hex()[:6]}"),
        ]
    )
    builder = (
        _builder(subject, subject, key.public_key(), now - BACKDATED, now + validity)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(certificates=True), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
            critical=False,
        )
    )
    if permitted:
        builder = builder.add_extension(names.constraints(permitted), critical=True)
    return builder.sign(key, hashes.SHA256())


def leaf_certificate(
    issuer: x509.Certificate,
    issuer_key: IssuerKey,
    key: ec.EllipticCurvePublicKey,
    hosts: tuple[str, ...],
    now: datetime.datetime,
    validity: datetime.timedelta,
) -> x509.Certificate:
    """A server certificate for these hosts, inside the issuer's own validity. Raises CertificateError."""
    alternatives = x509.SubjectAlternativeName([names.general_name(host) for host in hosts])
    start = max(now - BACKDATED, issuer.not_valid_before_utc)
    end = min(now + validity, issuer.not_valid_after_utc)
    if end <= now:
        raise CertificateError(f"the certificate authority expired on {end:%Y-%m-%d}", "run: keyswap ca rotate")
    subject = _leaf_subject(hosts[0])
    return (
        _builder(subject, issuer.subject, key, start, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        # RFC 5280, section 4.2.1.6: critical where the subject is empty.
        .add_extension(alternatives, critical=not list(subject))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(_authority_identifier(issuer), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the certificate, as tools print it: `AB:CD:…`."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def permitted_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The DNS subtrees the certificate is confined to; empty: any name."""
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return ()
    subtrees = constraints.permitted_subtrees or []
    return tuple(subtree.value for subtree in subtrees if isinstance(subtree, x509.DNSName))


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether the certificate may sign others, and names its key as RFC 5280, section 4.2.1.2, wants it to."""
    try:
        extensions = certificate.extensions
        extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        return extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return False


def _authority_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    # Byte for byte what the issuer says (RFC 5280, section 4.2.1.1): authorities differ in how they compute it.
    # `load` refuses an authority that says nothing.
    own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _leaf_subject(host: str) -> x509.Name:
    if len(host) > LONGEST_COMMON_NAME or names.is_address(host):
        return x509.Name([])
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    start: datetime.datetime,
    end: datetime.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder(issuer, subject, key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )


def _usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates,
        key_cert_sign=certificates,
        crl_sign=certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
