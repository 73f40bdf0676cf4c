"""One key in a file, and how it is asked for."""

from pathlib import Path

from keyswap.credentials import source_for
from keyswap.credentials.cache import Keyring
from keyswap.credentials.interface import Source
from keyswap.exchange import CredentialName

NAME = CredentialName("openai")
OTHER = CredentialName("github")
OLD, NEW = b"sk-old-12345678", b"sk-new-12345678"


def env(**values: str) -> dict[CredentialName, Source]:
    return {CredentialName(name): source_for("env:KEY", environ={"KEY": value}) for name, value in values.items()}


def released(keyring: Keyring) -> tuple[bytes, int]:
    value = keyring.current(NAME)
    return value.secret.reveal(), value.version


def recent(keyring: Keyring) -> list[bytes]:
    return [secret.reveal() for secret in keyring.recent(NAME)]


def in_place(key: Path, value: bytes) -> None:
    key.write_bytes(value)
