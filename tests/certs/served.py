"""Certificates as a server shows them: those keyswap issues, and those the engine makes from keyswap's authority."""

import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from mitmproxy.certs import CertStore

from keyswap.certs.leaf import Issuer

STRICT = ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
"""What `ssl.create_default_context` sets from Python 3.13 on; set here for 3.12 too."""


@dataclass(frozen=True)
class Served:
    """A server's key and what it sends."""

    key_pem: bytes
    chain_pem: bytes

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile() as file:
            file.write(self.key_pem + self.chain_pem)
            file.flush()
            context.load_cert_chain(file.name)
        return context


def ours(directory: Path, *hosts: str, passphrase: bytes | None = None) -> Served:
    leaf = Issuer.open(directory, passphrase=passphrase).leaf(*hosts)
    return Served(leaf.key_pem, leaf.chain_pem)


def engines(directory: Path, *hosts: str, passphrase: bytes | None = None) -> Served:
    """What mitmproxy itself serves with: its leaf, the authority's own key, its chain."""
    store = CertStore.from_store(directory, "mitmproxy", 2048, passphrase)
    entry = store.get_cert(hosts[0], [x509.DNSName(host) for host in hosts])
    key = entry.privatekey.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    chain = b"".join(certificate.to_pem() for certificate in (entry.cert, *entry.chain_certs))
    return Served(key, chain)


def trusting(cafile: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(cafile))
    context.verify_flags |= STRICT
    return context


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> str:
    """A whole TLS handshake in memory; returns the protocol, raises ssl.SSLCertVerificationError as a client would."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    a = client.wrap_bio(to_client, to_server, server_hostname=host)
    b = server.wrap_bio(to_server, to_client, server_side=True)
    waiting = [a, b]
    while waiting:
        side = waiting.pop(0)
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            waiting.append(side)
    return a.version() or ""
