"""One authority for the tests that only read it."""

import shutil
from pathlib import Path

import pytest

from keyswap.certs import ca


@pytest.fixture(scope="package")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of an authority; not to be changed."""
    directory = tmp_path_factory.mktemp("authority") / "certs"
    ca.create(directory)
    return directory


@pytest.fixture(scope="package")
def confined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of an authority that may issue for example.com and one host of demo.example."""
    directory = tmp_path_factory.mktemp("confined") / "certs"
    ca.create(directory, permitted=["*.example.com", "api.demo.example"])
    return directory


@pytest.fixture(scope="package")
def openssl() -> str:
    """The openssl command; the test is skipped on a machine that has none."""
    found = shutil.which("openssl")
    if found is None:
        pytest.skip("no openssl command")
    return found
