"""Leaves: their own key, clean under strict verification, inside the authority's validity (S41)."""

import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from certs.served import Served, engines, handshake, ours, trusting
from keyswap.certs import build, ca
from keyswap.certs.leaf import Issuer, Leaf
from keyswap.errors import CertificateError

LONG = "a" * 60 + ".example.com"
DAY = datetime.timedelta(days=1)


@pytest.fixture(scope="module")
def issuer(authority: Path) -> Issuer:
    return Issuer.open(authority)


def names(leaf: Leaf) -> list[str]:
    alternatives = leaf.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(each.value) for each in alternatives]


@pytest.mark.parametrize("serve", [ours, engines])
@pytest.mark.parametrize("file", ["ca.pem", "bundle.pem"])
@pytest.mark.parametrize("host", ["api.example.com", "xn--bcher-kva.example", "a_b.example.com", LONG])
def test_S41_a_leaf_passes_python_strict_with_either_file(authority: Path, serve, file: str, host: str) -> None:
    served = serve(authority, host)
    assert handshake(served.context(), trusting(authority / file), host) == "TLSv1.3"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_S41_a_leaf_for_an_address_passes_python_strict(authority: Path, host: str) -> None:
    assert handshake(ours(authority, host).context(), trusting(authority / "ca.pem"), host)


def test_a_leaf_holds_all_its_names(issuer: Issuer, authority: Path) -> None:
    leaf = issuer.leaf("api.example.com", "*.example.org", "192.0.2.1")
    assert names(leaf) == ["api.example.com", "*.example.org", "192.0.2.1"]
    served = Served(leaf.key_pem, leaf.chain_pem).context()
    for host in ("api.example.com", "x.example.org", "192.0.2.1"):
        assert handshake(served, trusting(authority / "ca.pem"), host)


def test_S41_a_leaf_never_serves_with_the_authoritys_key(issuer: Issuer) -> None:
    first, second = issuer.leaf("api.example.com"), issuer.leaf("api.example.com")
    keys = {leaf.certificate.public_key().public_numbers() for leaf in (first, second)}
    key, chain = issuer._key, issuer._chain
    assert len(keys | {key.public_key().public_numbers()}) == 3
    assert first.certificate.issuer == chain[0].subject


def test_S41_a_leaf_can_serve_and_nothing_else(issuer: Issuer) -> None:
    extensions = issuer.leaf("api.example.com").certificate.extensions
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_cert_sign, usage.crl_sign) == (True, False, False)
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_the_subject_is_the_host_where_it_fits_and_empty_elsewhere(issuer: Issuer) -> None:
    assert issuer.leaf("api.example.com").certificate.subject.rfc4514_string() == "CN=api.example.com"
    for host in (LONG, "192.0.2.1"):
        certificate = issuer.leaf(host).certificate
        assert certificate.subject.rfc4514_string() == ""
        assert certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical


def test_a_self_signed_root_is_not_sent(issuer: Issuer) -> None:
    leaf = issuer.leaf("api.example.com")
    assert leaf.chain == ()
    assert leaf.chain_pem.count(b"BEGIN CERTIFICATE") == 1


def test_S41_a_leaf_stays_inside_the_validity_of_its_authority(tmp_path: Path) -> None:
    info = ca.create(tmp_path / "certs", days=3)
    certificate = Issuer.open(tmp_path / "certs").leaf("api.example.com", days=30).certificate
    assert info.not_before <= certificate.not_valid_before_utc
    assert certificate.not_valid_after_utc <= info.not_after


def test_an_expired_authority_issues_nothing() -> None:
    key = build.new_key()
    long_ago = datetime.datetime.now(datetime.UTC) - 40 * DAY
    certificate = build.authority_certificate(key, "keyswap", (), long_ago, 30 * DAY)
    with pytest.raises(CertificateError, match="run: keyswap ca rotate"):
        Issuer(key, (certificate,)).leaf("api.example.com")


def test_a_leaf_is_fresh_for_half_of_its_time(issuer: Issuer) -> None:
    leaf = issuer.leaf("api.example.com")
    assert leaf.fresh()
    end = leaf.certificate.not_valid_after_utc
    assert leaf.fresh(end - 17 * DAY)
    assert not leaf.fresh(end - 15 * DAY)


@pytest.mark.parametrize("host", ["", "a b.example.com", "a\r\nb", "-a.example.com", "b\u00fccher.example", "x" * 254])
def test_a_text_that_is_no_host_gets_no_leaf(issuer: Issuer, host: str) -> None:
    with pytest.raises(CertificateError, match="not a host name"):
        issuer.leaf(host)


def test_S42_a_leaf_does_not_print_its_key(issuer: Issuer) -> None:
    leaf = issuer.leaf("api.example.com")
    assert "key=" not in repr(leaf)
    assert b"BEGIN PRIVATE KEY" in leaf.key_pem
