"""The authority itself: made when asked and never silently, read with its rights checked, replaced by another.

Its directory holds `mitmproxy-ca.pem` (key and certificate, the file the engine reads, 0600), `ca.pem` (certificates
only: ours, and those rotated out that have not expired), `bundle.pem` (the system's roots and `ca.pem`) and
`mitmproxy-dhparam.pem`. Only the key file is secret. S41 is the requirement.
"""

import datetime
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from keyswap.certs import build, files, names, trust
from keyswap.certs.dhparam import FFDHE2048
from keyswap.errors import CertificateError

KEY_FILE = "mitmproxy-ca.pem"
DHPARAM_FILE = "mitmproxy-dhparam.pem"

DEFAULT_DAYS = 1826
"""Five years."""
LONGEST_DAYS = 3653
"""Ten years: a key in a file is not kept for decades."""
SOON = datetime.timedelta(days=30)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,31}")


@dataclass(frozen=True, slots=True)
class AuthorityInfo:
    """What may be known of an authority; nothing in it is secret."""

    directory: Path
    subject: str
    """RFC 4514."""
    fingerprint: str
    """SHA-256 of the certificate: `AB:CD:…`."""
    not_before: datetime.datetime
    not_after: datetime.datetime
    permitted: tuple[str, ...]
    """The DNS subtrees it may issue for; empty: any name and address."""
    problems: tuple[str, ...]
    """What will not work or soon not, each with what to do; a proxy whose list is not empty should say so."""

    def permits(self, host: str) -> bool:
        """Whether clients will accept this authority for the canonical host."""
        if not self.permitted:
            return True
        return not names.is_address(host) and any(names.within(host, subtree) for subtree in self.permitted)


def create(
    directory: Path,
    *,
    name: str = "keyswap",
    days: int = DEFAULT_DAYS,
    permitted: Sequence[str] = (),
    passphrase: bytes | None = None,
) -> AuthorityInfo:
    """Make an authority in `directory`; raises CertificateError where there is one, and changes nothing then.

    `permitted` are host texts as in a policy's egress list (`*.example.com`); with any, the certificate carries them as
    critical Name Constraints. The passphrase encrypts the key file; the engine then needs it as well.
    """
    key, certificate = _new(name, days, names.subtrees(tuple(permitted)), _now())
    data = _key_pem(key, passphrase) + _pem([certificate])
    files.make_directory(directory)
    files.write(directory / KEY_FILE, data, files.PRIVATE, new=True)
    _write_public(directory, [certificate])
    return load(directory, passphrase=passphrase)


def rotate(
    directory: Path,
    *,
    overlap: bool = True,
    name: str = "keyswap",
    days: int = DEFAULT_DAYS,
    permitted: Sequence[str] | None = None,
    passphrase: bytes | None = None,
) -> AuthorityInfo:
    """Replace the authority by a new one, with the same Name Constraints unless others are given.

    The old key is gone afterwards. With `overlap` the old certificate stays in `ca.pem` and `bundle.pem` until it
    expires: a proxy that is running goes on issuing under it until its next start, and clients trust both. Without, it
    is trusted no more from now on (its key was lost). Raises CertificateError; the old authority is whole then.
    """
    old = _chain(directory)
    _keep_encrypted(directory, passphrase)
    subtrees = build.permitted_of(old[0]) if permitted is None else names.subtrees(tuple(permitted))
    key, certificate = _new(name, days, subtrees, _now())
    data = _key_pem(key, passphrase) + _pem([certificate])
    retired = [old[0], *_certificates_or_none(directory)] if overlap else []
    # The certificate is trusted before its key is used: an interruption leaves one trusted too many, none too few.
    _write_public(directory, [certificate, *retired])
    files.write(directory / KEY_FILE, data, files.PRIVATE)
    return load(directory, passphrase=passphrase)


def refresh(directory: Path) -> AuthorityInfo:
    """Write the public files again, from the key file's certificate and today's system roots; needs no passphrase."""
    issuing = _chain(directory)[0]
    _write_public(directory, [issuing, *_certificates_or_none(directory)])
    return inspect(directory)


def load(directory: Path, *, passphrase: bytes | None = None, now: datetime.datetime | None = None) -> AuthorityInfo:
    """The authority a proxy may start with: its files are safe, its key opens and fits. Raises CertificateError."""
    open_authority(directory, passphrase)
    return inspect(directory, now=now)


def inspect(directory: Path, *, now: datetime.datetime | None = None) -> AuthorityInfo:
    """What the files say without opening the key, which may have a passphrase. Raises CertificateError."""
    certificate = _chain(directory)[0]
    return AuthorityInfo(
        directory=directory,
        subject=certificate.subject.rfc4514_string(),
        fingerprint=build.fingerprint(certificate),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        permitted=build.permitted_of(certificate),
        problems=(*_date_problems(certificate, now or _now()), *_file_problems(directory, certificate)),
    )


def open_authority(
    directory: Path, passphrase: bytes | None = None
) -> tuple[build.IssuerKey, tuple[x509.Certificate, ...]]:
    """The key and its certificate, followed by its parents where an admin brought an intermediate."""
    chain = _chain(directory)
    key = _load_key(directory / KEY_FILE, passphrase)
    if key.public_key() != chain[0].public_key():
        raise CertificateError(f"the key in {directory / KEY_FILE} is not the one of its certificate")
    return key, chain


def _new(
    name: str, days: int, permitted: tuple[str, ...], now: datetime.datetime
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    if not _NAME.fullmatch(name):
        raise CertificateError("an authority's name is 1 to 32 letters, digits, spaces and . _ -")
    if not 1 <= days <= LONGEST_DAYS:
        raise CertificateError(f"an authority is valid for 1 to {LONGEST_DAYS} days, not {days}")
    key = build.new_key()
    return key, build.authority_certificate(key, name, permitted, now, datetime.timedelta(days=days))


def _write_public(directory: Path, certificates: Iterable[x509.Certificate]) -> None:
    now = _now()
    alive = {build.fingerprint(each): each for each in certificates if each.not_valid_after_utc > now}
    ours = _pem(alive.values())
    files.write(directory / trust.CERTIFICATE_FILE, ours, files.PUBLIC)
    files.write(directory / trust.BUNDLE_FILE, trust.bundle(ours), files.PUBLIC)
    files.write(directory / DHPARAM_FILE, FFDHE2048, files.PUBLIC)


def _chain(directory: Path) -> tuple[x509.Certificate, ...]:
    path = directory / KEY_FILE
    if not files.exists(path):
        raise CertificateError(
            f"there is no certificate authority in {directory}", f"run: keyswap ca init --dir {directory}"
        )
    chain = _parse(path, files.read(path, private=True))
    if not build.is_authority(chain[0]):
        raise CertificateError(f"the first certificate in {path} is not an authority's, or has no key identifier")
    return chain


def _certificates_or_none(directory: Path) -> tuple[x509.Certificate, ...]:
    path = directory / trust.CERTIFICATE_FILE
    return _parse(path, files.read(path, private=False)) if files.exists(path) else ()


def _parse(path: Path, data: bytes) -> tuple[x509.Certificate, ...]:
    try:
        return tuple(x509.load_pem_x509_certificates(data))
    except ValueError:
        raise CertificateError(f"there is no readable certificate in {path}") from None


def _load_key(path: Path, passphrase: bytes | None) -> build.IssuerKey:
    data = files.read(path, private=True)
    # The parser's own errors are kept out: they may say what they were given.
    try:
        key = serialization.load_pem_private_key(data, passphrase if _is_encrypted(data) else None)
    except TypeError:
        raise CertificateError(f"the key in {path} has a passphrase", "give it") from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError(f"the key in {path} cannot be opened", "check the file and the passphrase") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise CertificateError(f"the key in {path} is neither an elliptic curve key nor RSA")
    return key


def _is_encrypted(data: bytes) -> bool:
    return b"ENCRYPTED" in data


def _keep_encrypted(directory: Path, passphrase: bytes | None) -> None:
    if passphrase is None and _is_encrypted(files.read(directory / KEY_FILE, private=True)):
        raise CertificateError("the present key has a passphrase", "give one for the new key too")


def _key_pem(key: ec.EllipticCurvePrivateKey, passphrase: bytes | None) -> bytes:
    if passphrase is None:
        encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    elif 1 <= len(passphrase) <= 1023:  # what OpenSSL's PEM routines take
        encryption = serialization.BestAvailableEncryption(passphrase)
    else:
        raise CertificateError("a passphrase has 1 to 1023 bytes")
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def _pem(certificates: Iterable[x509.Certificate]) -> bytes:
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)


def _date_problems(certificate: x509.Certificate, now: datetime.datetime) -> tuple[str, ...]:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < start:
        return (f"it is not valid before {start:%Y-%m-%d}: check this machine's clock",)
    if now > end:
        return (f"it expired on {end:%Y-%m-%d}: run keyswap ca rotate",)
    if now > end - SOON:
        return (f"it expires on {end:%Y-%m-%d}: run keyswap ca rotate",)
    return ()


def _file_problems(directory: Path, certificate: x509.Certificate) -> tuple[str, ...]:
    problems = []
    if directory.stat().st_mode & 0o077:
        problems.append(f"other users can look into {directory}: chmod 700 {directory}")
    if certificate not in _certificates_or_none(directory):
        problems.append(f"{trust.CERTIFICATE_FILE} does not hold its certificate: run keyswap ca bundle")
    problems += [
        f"{file} is missing: run keyswap ca bundle"
        for file in (trust.BUNDLE_FILE, DHPARAM_FILE)
        if not files.exists(directory / file)
    ]
    return tuple(problems)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
