"""What makes a client trust the authority: which file, told by which environment variable.

Some variables add to a client's own roots; they name `ca.pem`. The others replace the roots; they name `bundle.pem`,
which holds the system's and ours, or the client would no longer reach a host that is passed through.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import certifi

CERTIFICATE_FILE = "ca.pem"
BUNDLE_FILE = "bundle.pem"

# Where Linux distributions and macOS keep their roots, in the order Go looks (crypto/x509, root_linux.go).
SYSTEM_BUNDLES = (
    Path("/etc/ssl/certs/ca-certificates.crt"),
    Path("/etc/pki/tls/certs/ca-bundle.crt"),
    Path("/etc/ssl/ca-bundle.pem"),
    Path("/etc/pki/tls/cacert.pem"),
    Path("/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"),
    Path("/etc/ssl/cert.pem"),
)
_BEGIN = b"-----BEGIN CERTIFICATE-----"

TRUST_VARIABLES: Mapping[str, Literal["adds", "replaces"]] = MappingProxyType(
    {
        "NODE_EXTRA_CA_CERTS": "adds",  # Node, Bun, Deno from 2.8 on: SDKs, Claude Code, npm
        "DENO_CERT": "adds",
        "CODEX_CA_CERTIFICATE": "adds",
        "SSL_CERT_FILE": "replaces",  # OpenSSL, Go, rustls: httpx, aiohttp, urllib, gh, the Python SDKs
        "REQUESTS_CA_BUNDLE": "replaces",
        "CURL_CA_BUNDLE": "replaces",
        "GIT_SSL_CAINFO": "replaces",
        "AWS_CA_BUNDLE": "replaces",  # boto3, the aws command
        "PIP_CERT": "replaces",
        "npm_config_cafile": "replaces",
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": "replaces",
        "CARGO_HTTP_CAINFO": "replaces",
        "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE": "replaces",  # the gcloud command
        "NIX_SSL_CERT_FILE": "replaces",
    }
)
"""Every variable a client is told by, and what it does to the client's own roots."""


def trust_variables(directory: str | Path) -> dict[str, str]:
    """Each variable of TRUST_VARIABLES with the file it names; `directory` as the client sees it, made absolute."""
    base = os.path.abspath(directory)
    files = {"adds": CERTIFICATE_FILE, "replaces": BUNDLE_FILE}
    return {name: os.path.join(base, files[effect]) for name, effect in TRUST_VARIABLES.items()}


def bundle(extra: bytes, *, system: Sequence[Path] = SYSTEM_BUNDLES) -> bytes:
    """The system's roots and the certificates of `extra`, as one PEM file."""
    return system_roots(system).rstrip() + b"\n" + extra


def system_roots(system: Sequence[Path] = SYSTEM_BUNDLES) -> bytes:
    """The public roots this machine trusts; those of certifi where it has no such file."""
    # SSL_CERT_FILE is not asked: in a shell set up for a sandbox it names our own bundle.
    for path in system:
        try:
            roots = path.read_bytes()
        except OSError:
            continue
        if _BEGIN in roots:
            return roots
    return certifi.contents().encode("ascii")
