"""The authority: made when asked, read with its rights checked, replaced without a gap (S41)."""

import datetime
import os
import ssl
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from certs.served import engines, handshake, ours, trusting
from keyswap.certs import build, ca
from keyswap.certs.leaf import Issuer
from keyswap.errors import CertificateError

SECRET = b"correct horse battery staple"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def issuing(directory: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificates((directory / ca.KEY_FILE).read_bytes())[0]


def snapshot(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


# Nothing is made silently.


@pytest.mark.parametrize("act", [ca.load, ca.inspect, ca.refresh, ca.rotate, Issuer.open])
def test_S41_no_authority_is_an_error_that_names_the_command_and_makes_nothing(act, tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match="run: keyswap ca init --dir"):
        act(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(CertificateError, match="run: keyswap ca init"):
        act(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()


# What is made.


def test_S41_the_key_is_p256_and_its_file_and_directory_are_the_owners_alone(authority: Path) -> None:
    key = serialization.load_pem_private_key((authority / ca.KEY_FILE).read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert isinstance(key.curve, ec.SECP256R1)
    assert mode(authority / ca.KEY_FILE) == 0o600
    assert mode(authority) == 0o700


def test_S41_the_rights_do_not_hang_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        ca.create(tmp_path / "certs")
    finally:
        os.umask(before)
    assert (mode(tmp_path / "certs"), mode(tmp_path / "certs" / ca.KEY_FILE)) == (0o700, 0o600)
    assert mode(tmp_path / "certs" / "ca.pem") == 0o644


def test_S41_only_the_key_file_holds_a_key(authority: Path) -> None:
    holding = {name for name, data in snapshot(authority).items() if b"PRIVATE KEY" in data}
    assert holding == {ca.KEY_FILE}


def test_S41_the_validity_is_years_not_decades(authority: Path, tmp_path: Path) -> None:
    info = ca.load(authority)
    assert datetime.timedelta(days=365) < info.not_after - info.not_before < datetime.timedelta(days=6 * 365)
    for days in (0, -1, ca.LONGEST_DAYS + 1):
        with pytest.raises(CertificateError, match="1 to 3653 days"):
            ca.create(tmp_path / "certs", days=days)
    assert not (tmp_path / "certs").exists()


def test_S41_the_certificate_says_what_it_is_for_and_no_more(authority: Path) -> None:
    extensions = issuing(authority).extensions
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    assert usage.critical
    assert (usage.value.key_cert_sign, usage.value.crl_sign, usage.value.digital_signature) == (True, True, False)
    subject = extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == subject.digest


def test_S41_an_authority_is_never_overwritten(tmp_path: Path) -> None:
    ca.create(tmp_path / "certs")
    before = snapshot(tmp_path / "certs")
    with pytest.raises(CertificateError, match="exists, and nothing was changed"):
        ca.create(tmp_path / "certs")
    assert snapshot(tmp_path / "certs") == before


def test_info_tells_what_a_person_compares(authority: Path) -> None:
    info = ca.load(authority)
    assert info.fingerprint == issuing(authority).fingerprint(hashes.SHA256()).hex(":").upper()
    assert "keyswap CA" in info.subject
    assert info.problems == ()
    assert info.permitted == ()
    assert info.permits("anything.example.org")
    assert info.permits("192.0.2.1")


def test_a_name_is_shown_in_the_subject_and_kept_to_plain_letters(tmp_path: Path) -> None:
    assert "acme CA" in ca.create(tmp_path / "certs", name="acme").subject
    for name in ("", "a" * 33, "line\nbreak", "ü"):
        with pytest.raises(CertificateError, match="name is"):
            ca.create(tmp_path / "other", name=name)


# Name Constraints.


@pytest.mark.parametrize("serve", [ours, engines])
def test_S41_a_confined_authority_is_believed_for_its_own_names_only(confined: Path, serve) -> None:
    client = trusting(confined / "ca.pem")
    for host in ("example.com", "a.b.example.com", "api.demo.example"):
        assert handshake(serve(confined, host).context(), client, host)
    for host in ("other.demo.example", "badexample.com", "example.org"):
        with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
            handshake(serve(confined, host).context(), client, host)


def test_S41_a_confined_authority_is_believed_for_no_address(confined: Path) -> None:
    for host in ("192.0.2.1", "2001:db8::1"):
        with pytest.raises(ssl.SSLCertVerificationError, match="excluded subtree violation"):
            handshake(ours(confined, host).context(), trusting(confined / "ca.pem"), host)


def test_S41_the_constraints_are_critical_and_told(confined: Path) -> None:
    assert issuing(confined).extensions.get_extension_for_class(x509.NameConstraints).critical
    info = ca.load(confined)
    assert info.permitted == ("api.demo.example", "example.com")
    assert info.permits("x.example.com")
    assert not info.permits("example.org")
    assert not info.permits("192.0.2.1")


def test_an_address_in_the_constraints_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match=r"'192\.0\.2\.1' is not a host name"):
        ca.create(tmp_path / "certs", permitted=["192.0.2.1"])
    assert not (tmp_path / "certs").exists()


# A passphrase.


def test_S41_with_a_passphrase_the_key_does_not_open_without_it(tmp_path: Path) -> None:
    ca.create(tmp_path / "certs", passphrase=SECRET)
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in (tmp_path / "certs" / ca.KEY_FILE).read_bytes()
    with pytest.raises(CertificateError, match="has a passphrase"):
        ca.load(tmp_path / "certs")
    with pytest.raises(CertificateError, match="cannot be opened"):
        ca.load(tmp_path / "certs", passphrase=b"wrong")
    assert ca.inspect(tmp_path / "certs") == ca.load(tmp_path / "certs", passphrase=SECRET)


@pytest.mark.parametrize("serve", [ours, engines])
def test_S41_with_its_passphrase_the_key_serves(tmp_path: Path, serve) -> None:
    ca.create(tmp_path / "certs", passphrase=SECRET)
    served = serve(tmp_path / "certs", "api.example.com", passphrase=SECRET)
    assert handshake(served.context(), trusting(tmp_path / "certs" / "ca.pem"), "api.example.com")


def test_S42_no_error_says_the_passphrase_or_the_key(tmp_path: Path) -> None:
    ca.create(tmp_path / "certs", passphrase=SECRET)
    with pytest.raises(CertificateError) as caught:
        ca.load(tmp_path / "certs", passphrase=b"wrong horse")
    assert "horse" not in f"{caught.value!r} {caught.value}"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("passphrase", [b"", b"x" * 1024])
def test_a_passphrase_that_the_engine_could_not_use_is_refused(tmp_path: Path, passphrase: bytes) -> None:
    with pytest.raises(CertificateError, match="1 to 1023 bytes"):
        ca.create(tmp_path / "certs", passphrase=passphrase)
    assert not (tmp_path / "certs").exists()


def test_a_passphrase_given_for_an_open_key_is_no_error(authority: Path) -> None:
    assert ca.load(authority, passphrase=SECRET).problems == ()


# Files that somebody else could have touched, or that do not fit together.


@pytest.mark.parametrize("rights", [0o640, 0o604, 0o644])
def test_S41_a_key_that_others_can_read_is_refused(tmp_path: Path, rights: int) -> None:
    ca.create(tmp_path / "certs")
    (tmp_path / "certs" / ca.KEY_FILE).chmod(rights)
    with pytest.raises(CertificateError, match="other users can read"):
        ca.load(tmp_path / "certs")


@pytest.mark.parametrize("rights", [0o777, 0o702])
def test_S41_a_directory_that_others_can_write_is_refused(tmp_path: Path, rights: int) -> None:
    ca.create(tmp_path / "certs")
    (tmp_path / "certs").chmod(rights)
    with pytest.raises(CertificateError, match="writable by others"):
        ca.load(tmp_path / "certs")


def test_S41_a_certificate_file_that_others_can_write_is_refused(tmp_path: Path) -> None:
    ca.create(tmp_path / "certs")
    (tmp_path / "certs" / "ca.pem").chmod(0o666)
    with pytest.raises(CertificateError, match="writable by others"):
        ca.load(tmp_path / "certs")


def test_a_directory_that_others_can_read_is_a_problem_that_is_told(tmp_path: Path) -> None:
    ca.create(tmp_path / "certs")
    (tmp_path / "certs").chmod(0o755)
    (problem,) = ca.load(tmp_path / "certs").problems
    assert "chmod 700" in problem


def replace_key(directory: Path, key) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    certificate = issuing(directory).public_bytes(serialization.Encoding.PEM)
    (directory / ca.KEY_FILE).write_bytes(pem + certificate)


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    ca.create(tmp_path / "certs")
    replace_key(tmp_path / "certs", build.new_key())
    with pytest.raises(CertificateError, match="not the one of its certificate"):
        ca.load(tmp_path / "certs")


def test_a_kind_of_key_the_engine_cannot_sign_with_is_refused(tmp_path: Path) -> None:
    ca.create(tmp_path / "certs")
    replace_key(tmp_path / "certs", ed25519.Ed25519PrivateKey.generate())
    with pytest.raises(CertificateError, match="neither an elliptic curve key nor RSA"):
        ca.load(tmp_path / "certs")


@pytest.mark.parametrize("data", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_an_unreadable_file_is_refused(tmp_path: Path, data: bytes) -> None:
    ca.create(tmp_path / "certs")
    (tmp_path / "certs" / ca.KEY_FILE).write_bytes(data)
    with pytest.raises(CertificateError, match="no readable certificate"):
        ca.load(tmp_path / "certs")


def test_a_file_without_its_key_is_refused(tmp_path: Path) -> None:
    ca.create(tmp_path / "certs")
    (tmp_path / "certs" / ca.KEY_FILE).write_bytes((tmp_path / "certs" / "ca.pem").read_bytes())
    with pytest.raises(CertificateError, match="cannot be opened"):
        ca.load(tmp_path / "certs")


def test_a_leaf_in_the_place_of_an_authority_is_refused(tmp_path: Path) -> None:
    ca.create(tmp_path / "certs")
    leaf = Issuer.open(tmp_path / "certs").leaf("api.example.com")
    (tmp_path / "certs" / ca.KEY_FILE).write_bytes(leaf.key_pem + leaf.chain_pem)
    with pytest.raises(CertificateError, match="not an authority's"):
        ca.load(tmp_path / "certs")


# Time.


def test_an_authority_outside_its_dates_says_what_to_do(authority: Path) -> None:
    info = ca.load(authority)
    day = datetime.timedelta(days=1)
    assert ca.load(authority, now=info.not_after - 31 * day).problems == ()
    for now, words in (
        (info.not_after - 29 * day, "it expires on"),
        (info.not_after + day, "it expired on"),
        (info.not_before - day, "is not valid before"),
    ):
        (problem,) = ca.load(authority, now=now).problems
        assert words in problem


# The public files.


@pytest.mark.parametrize("lost", ["ca.pem", "bundle.pem", "mitmproxy-dhparam.pem"])
def test_a_lost_public_file_is_told_and_made_again(tmp_path: Path, lost: str) -> None:
    directory = tmp_path / "certs"
    ca.create(directory)
    before = snapshot(directory)
    (directory / lost).unlink()
    (problem,) = ca.load(directory).problems
    assert lost in problem
    assert "keyswap ca bundle" in problem
    assert ca.refresh(directory).problems == ()
    assert snapshot(directory) == before


def test_refresh_needs_no_passphrase(tmp_path: Path) -> None:
    ca.create(tmp_path / "certs", passphrase=SECRET)
    (tmp_path / "certs" / "ca.pem").unlink()
    assert ca.refresh(tmp_path / "certs").problems == ()


def test_the_engine_needs_to_write_nothing_beside_it(authority: Path) -> None:
    before = snapshot(authority)
    engines(authority, "api.example.com")
    assert snapshot(authority) == before


# Rotation.


def test_S41_after_a_rotation_clients_trust_what_either_authority_issued(tmp_path: Path) -> None:
    directory = tmp_path / "certs"
    ca.create(directory)
    running = ours(directory, "api.example.com")
    info = ca.rotate(directory)
    client = trusting(directory / "ca.pem")
    assert handshake(running.context(), client, "api.example.com")
    assert handshake(engines(directory, "api.example.com").context(), client, "api.example.com")
    assert info.problems == ()


def test_S41_a_rotation_without_overlap_ends_the_trust_in_the_old_one(tmp_path: Path) -> None:
    directory = tmp_path / "certs"
    ca.create(directory)
    stolen = ours(directory, "api.example.com")
    ca.rotate(directory, overlap=False)
    for file in ("ca.pem", "bundle.pem"):
        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(stolen.context(), trusting(directory / file), "api.example.com")


def test_S41_the_old_key_is_gone_after_a_rotation(tmp_path: Path) -> None:
    directory = tmp_path / "certs"
    old = ca.create(directory)
    key = (directory / ca.KEY_FILE).read_bytes().split(b"-----")[2].strip()
    new = ca.rotate(directory)
    assert new.fingerprint != old.fingerprint
    assert new.subject != old.subject
    assert not any(key in data for data in snapshot(directory).values())
    assert mode(directory / ca.KEY_FILE) == 0o600


def test_a_rotation_keeps_the_constraints_unless_others_are_given(tmp_path: Path) -> None:
    directory = tmp_path / "certs"
    ca.create(directory, permitted=["example.com"])
    assert ca.rotate(directory).permitted == ("example.com",)
    assert ca.rotate(directory, permitted=["api.demo.example"]).permitted == ("api.demo.example",)
    assert ca.rotate(directory, permitted=()).permitted == ()


def test_S41_a_rotation_never_drops_the_passphrase_silently(tmp_path: Path) -> None:
    directory = tmp_path / "certs"
    ca.create(directory, passphrase=SECRET)
    before = snapshot(directory)
    with pytest.raises(CertificateError, match="give one for the new key too"):
        ca.rotate(directory)
    assert snapshot(directory) == before
    assert ca.rotate(directory, passphrase=b"another one").problems == ()


def test_an_expired_certificate_leaves_the_public_files(tmp_path: Path) -> None:
    directory = tmp_path / "certs"
    info = ca.create(directory)
    key = build.new_key()
    long_ago = info.not_before - datetime.timedelta(days=400)
    expired = build.authority_certificate(key, "old", (), long_ago, datetime.timedelta(days=10))
    with (directory / "ca.pem").open("ab") as file:
        file.write(expired.public_bytes(serialization.Encoding.PEM))
    ca.refresh(directory)
    kept = x509.load_pem_x509_certificates((directory / "ca.pem").read_bytes())
    assert kept == [issuing(directory)]


# An intermediate that an admin brings.


def signed_by(root: rsa.RSAPrivateKey, name: str, key, path_length: int) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "corp root")])
    return (
        x509.CertificateBuilder(
            issuer, x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]), key.public_key()
        )
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), critical=False)
        .sign(root, hashes.SHA256())
    )


@pytest.mark.parametrize("serve", [ours, engines])
def test_an_rsa_intermediate_serves_under_its_own_root(tmp_path: Path, serve) -> None:
    root_key, key = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    root, intermediate = signed_by(root_key, "corp root", root_key, 1), signed_by(root_key, "corp sub", key, 0)
    directory = tmp_path / "certs"
    ca.create(directory)
    pem = [each.public_bytes(serialization.Encoding.PEM) for each in (intermediate, root)]
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (directory / ca.KEY_FILE).write_bytes(private + b"".join(pem))
    (directory / "ca.pem").write_bytes(pem[1])
    served = serve(directory, "api.example.com")
    assert handshake(served.context(), trusting(directory / "ca.pem"), "api.example.com")


# What OpenSSL itself says.


def test_S41_the_authority_and_its_leaves_pass_openssl_strict(authority: Path, tmp_path: Path, openssl: str) -> None:
    for number, served in enumerate((ours(authority, "api.example.com"), engines(authority, "api.example.com"))):
        leaf = tmp_path / f"leaf{number}.pem"
        leaf.write_bytes(served.chain_pem)
        command = [openssl, "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", str(authority / "ca.pem")]
        done = subprocess.run([*command, str(leaf)], capture_output=True, text=True, check=False)
        assert done.stdout.strip() == f"{leaf}: OK", done.stderr
