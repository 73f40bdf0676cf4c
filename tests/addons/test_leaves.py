"""What the client's side of TLS sees: certificates any verifier accepts, and never the CA's key (S41)."""

import asyncio
import ssl
import stat
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from addons.shared import shared_house
from support.house import HOST, POLICY, House
from support.wire import basic

pytestmark = pytest.mark.asyncio(loop_scope="module")
house = shared_house(POLICY + '  - {{host: 192.0.2.7, pin: "{address}", ca_file: "{ca}"}}\n')


async def shown(house: House, host: str, sni: str | None = "") -> x509.Certificate:
    """The certificate that a client of this host is shown."""
    session = house.mint()
    async with await house.wire() as wire:
        assert (await wire.connect_tunnel(f"{host}:443", session.token)).status == 200
        await wire.tls(host if sni == "" else sni)
        return x509.load_der_x509_certificate(wire.ssl_object.getpeercert(binary_form=True) or b"")


def authority(house: House) -> x509.Certificate:
    return x509.load_pem_x509_certificate(house.ca_pem.read_bytes())


async def test_S41_a_leaf_verifies_under_pythons_strict_flag(house: House) -> None:
    session = house.mint()
    context = ssl.create_default_context(cafile=str(house.ca_pem))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    assert context.verify_flags & ssl.VERIFY_X509_STRICT
    async with await house.wire() as wire:
        assert (await wire.connect_tunnel(f"{HOST}:443", session.token)).status == 200
        await wire._writer.start_tls(context, server_hostname=HOST)
        wire._buffer = b""
        assert (await wire.request("GET", "/status/200", HOST)).status == 200


async def test_S41_a_leaf_verifies_under_openssls_strict_flag(house: House) -> None:
    session = house.mint()
    host, port = house.running.address
    user, _, token = "keyswap", "", session.token
    done = await asyncio.to_thread(
        subprocess.run,
        [
            "openssl", "s_client", "-proxy", f"{host}:{port}", "-proxy_user", user, "-proxy_pass", f"pass:{token}",
            "-connect", f"{HOST}:443", "-servername", HOST, "-verify_hostname", HOST, "-CAfile", str(house.ca_pem),
            "-verify_return_error", "-x509_strict", "-brief",
        ],
        input=f"GET /status/200 HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode(),
        capture_output=True,
        check=False,
        timeout=20,
    )  # fmt: skip
    told = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert done.returncode == 0, told
    assert "Verification: OK" in told
    assert "ecdsa" in told.lower()


async def test_S41_a_leaf_says_what_a_leaf_says(house: House) -> None:
    leaf = await shown(house, HOST)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [HOST]
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [x509.ExtendedKeyUsageOID.SERVER_AUTH]
    identifier = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    own = authority(house).extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert identifier.key_identifier == own.digest
    assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc).days <= 398
    assert isinstance(leaf.public_key(), ec.EllipticCurvePublicKey)
    leaf.verify_directly_issued_by(authority(house))


async def test_S41_no_leaf_is_served_with_the_cas_key(house: House) -> None:
    def public(certificate: x509.Certificate) -> bytes:
        return certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    assert public(await shown(house, HOST)) != public(authority(house))
    assert public(await shown(house, "plain.example.com")) != public(authority(house))


async def test_S41_an_address_is_named_as_an_address(house: House) -> None:
    leaf = await shown(house, "192.0.2.7", None)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.7"]


async def test_each_host_has_a_certificate_of_its_own_and_the_same_one_again(house: House) -> None:
    serials = [(await shown(house, host)).serial_number for host in (HOST, "plain.example.com", HOST)]
    assert serials[0] == serials[2] != serials[1]


async def test_S41_the_cas_key_comes_out_of_no_door(house: House) -> None:
    """Neither the proxy nor the paths by which mitmproxy hands out its files."""
    session = house.mint()
    key = (house.certs_dir / "mitmproxy-ca.pem").read_bytes()
    [body] = [part for part in key.split(b"-----") if b"\n" in part and len(part) > 80][:1]
    signed = [("Proxy-Authorization", basic(session.token))]
    asked = [
        ("GET", "http://mitm.it/", "mitm.it"),
        ("GET", "http://mitm.it/cert/pem", "mitm.it"),
        ("GET", "/", "mitm.it"),
        ("GET", "/cert/pem", "127.0.0.1"),
        ("GET", f"http://127.0.0.1:{house.running.address[1]}/mitmproxy-ca.pem", "127.0.0.1"),
    ]
    for method, target, host in asked:
        async with await house.wire() as wire:
            answer = await wire.request(method, target, host, signed)
        assert answer.status in (400, 403, 421), target
        assert body.strip()[:40] not in answer.everything
        assert b"PRIVATE KEY" not in answer.everything
        assert b"CERTIFICATE" not in answer.everything


async def test_S41_the_files_are_the_owners_alone(house: House) -> None:
    assert stat.S_IMODE(house.certs_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE((house.certs_dir / "mitmproxy-ca.pem").stat().st_mode) == 0o600
    assert b"PRIVATE KEY" not in (house.certs_dir / "ca.pem").read_bytes()
    assert b"PRIVATE KEY" not in (house.certs_dir / "bundle.pem").read_bytes()
    assert isinstance(authority(house).public_key(), ec.EllipticCurvePublicKey)
