"""Reading certificates that somebody else made."""

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from keyswap.certs import build

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def bare(*extensions: x509.ExtensionType) -> x509.Certificate:
    key = build.new_key()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "corp")])
    builder = x509.CertificateBuilder(name, name, key.public_key()).serial_number(1)
    builder = builder.not_valid_before(NOW).not_valid_after(NOW + datetime.timedelta(days=1))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(key, hashes.SHA256())


def test_a_certificate_is_an_authority_only_where_it_says_so_and_names_its_key() -> None:
    identifier = x509.SubjectKeyIdentifier(b"12345678")
    assert not build.is_authority(bare())
    assert not build.is_authority(bare(x509.BasicConstraints(ca=True, path_length=None)))
    assert not build.is_authority(bare(identifier, x509.BasicConstraints(ca=False, path_length=None)))
    assert build.is_authority(bare(identifier, x509.BasicConstraints(ca=True, path_length=None)))


def test_only_dns_subtrees_are_told_as_permitted() -> None:
    mixed = x509.NameConstraints([x509.DNSName("example.com"), x509.RFC822Name("example.com")], None)
    assert build.permitted_of(bare(mixed)) == ("example.com",)
    assert build.permitted_of(bare(x509.NameConstraints(None, [x509.DNSName("example.com")]))) == ()


def test_an_authoritys_serial_and_subject_differ_from_the_last_one() -> None:
    day = datetime.timedelta(days=1)
    first, second = (build.authority_certificate(build.new_key(), "keyswap", (), NOW, day) for _ in range(2))
    assert first.serial_number != second.serial_number
    assert first.subject != second.subject
