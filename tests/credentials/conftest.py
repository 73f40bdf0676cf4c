import time
from pathlib import Path

import pytest

from keyswap.credentials.cache import Keyring
from keyswap.credentials.file import FileSource
from keyswap.exchange import CredentialName


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Wall(Clock):
    """Long after every write, unless the test says otherwise."""

    def __init__(self) -> None:
        self.now = time.time() + 3600


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "keys" / "key"
    path.parent.mkdir(mode=0o700)
    path.write_bytes(b"sk-old-12345678")
    path.chmod(0o600)
    return path


@pytest.fixture
def keyring(key: Path, clock: Clock, wall: Wall) -> Keyring:
    return Keyring({CredentialName("openai"): FileSource(str(key), wall)}, fingerprint_key=b"k" * 32, clock=clock)
