"""The key that signs checkpoints and heads: Ed25519, `audit.key` and `audit.pub` (PEM) in the state directory.

`openssl pkeyutl -verify -pubin -inkey audit.pub -rawin -in STATEMENT -sigfile SIG` checks a signature without us.
"""

import os
import secrets
from base64 import b64decode, b64encode
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from keyswap.audit.names import failed
from keyswap.errors import AuditError
from keyswap.files import private_problem

KEY, PUB = "audit.key", "audit.pub"


class Verifier:
    """The public half."""

    def __init__(self, public: Ed25519PublicKey) -> None:
        self._public = public
        raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self.key_id = sha256(raw).hexdigest()[:16]
        """16 hex digits of the SHA-256 of the raw public key; note it elsewhere to notice a swapped key pair."""

    @classmethod
    def open(cls, state_dir: Path) -> "Verifier":
        """The key in `audit.pub`; AuditError where there is none."""
        path = state_dir / PUB
        try:
            public = serialization.load_pem_public_key(path.read_bytes())
        except OSError as error:
            raise failed("read", path, error, "name the state directory the audit was written with") from None
        except (ValueError, UnsupportedAlgorithm):
            public = None
        if not isinstance(public, Ed25519PublicKey):
            raise AuditError(f"{path} holds no Ed25519 public key", "restore it from a backup")
        return cls(public)

    def valid(self, statement: bytes, signature: str) -> bool:
        """Whether `signature` (base64) is this key's under `statement`. Never raises."""
        try:
            self._public.verify(b64decode(signature, validate=True), statement)
        except (InvalidSignature, ValueError):
            return False
        return True


class Signer(Verifier):
    """Both halves."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        super().__init__(private.public_key())
        self._private = private

    def sign(self, statement: bytes) -> str:
        """The signature under `statement`, as base64."""
        return b64encode(self._private.sign(statement)).decode()

    @classmethod
    def open(cls, state_dir: Path) -> "Signer":
        """The key of this state directory; made at the first call, once, however many processes call.

        AuditError for a key that others may read, that is no Ed25519 key, or that `audit.pub` contradicts.
        """
        path = state_dir / KEY
        try:
            if not path.exists():
                _make(path)
            problem = private_problem(path)
            if problem is not None:
                raise AuditError(problem, f"chmod 600 {path}")
            private = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except OSError as error:
            raise failed("open", path, error, "look at the rights of the state directory") from None
        except (ValueError, TypeError, UnsupportedAlgorithm):
            private = None
        if not isinstance(private, Ed25519PrivateKey):
            raise AuditError(f"{path} holds no Ed25519 key", "restore it from a backup")
        signer = cls(private)
        signer._agree_with(state_dir / PUB)
        return signer

    def _agree_with(self, path: Path) -> None:
        pem = self._public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        try:
            if not path.exists():
                _place(path, pem)
        except OSError as error:
            raise failed("write", path, error, "look at the rights of the state directory") from None
        if Verifier.open(path.parent).key_id != self.key_id:
            raise AuditError(f"{path} is not the public half of {KEY}", "restore both from one backup")


def _make(path: Path) -> None:
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _place(path, pem)


def _place(path: Path, content: bytes) -> None:
    # A link, unlike a rename, never replaces: of two processes that start together, the later one takes the other's.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
    finally:
        temporary.unlink()
