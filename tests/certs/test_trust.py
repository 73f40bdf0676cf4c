"""Which file each client is told to trust, and that either keeps what the client needs."""

import ssl
from pathlib import Path

import certifi
import pytest

from keyswap.certs import trust


def roots(path: Path) -> int:
    return len(ssl.create_default_context(cafile=str(path)).get_ca_certs())


def test_S41_the_bundle_holds_the_systems_roots_and_ours(authority: Path, tmp_path: Path) -> None:
    (tmp_path / "system.pem").write_bytes(trust.system_roots())
    assert roots(authority / "ca.pem") == 1
    assert roots(authority / "bundle.pem") == roots(tmp_path / "system.pem") + 1


def test_the_first_system_file_that_holds_certificates_counts(tmp_path: Path) -> None:
    empty, second, third = (tmp_path / name for name in ("empty", "second", "third"))
    empty.touch()
    second.write_bytes(b"# roots\n-----BEGIN CERTIFICATE-----\n2\n")
    third.write_bytes(b"-----BEGIN CERTIFICATE-----\n3\n")
    candidates = (tmp_path / "missing", empty, second, third)
    assert trust.system_roots(candidates) == second.read_bytes()
    assert trust.bundle(b"ours\n", system=candidates) == second.read_bytes() + b"ours\n"


def test_without_a_system_file_the_roots_are_those_of_certifi(tmp_path: Path) -> None:
    assert trust.system_roots((tmp_path / "missing",)) == Path(certifi.where()).read_bytes()


def test_a_bundle_of_ours_in_the_environment_is_not_taken_for_the_systems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = trust.system_roots()
    (tmp_path / "mine.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\nmine\n")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "mine.pem"))
    assert trust.system_roots() == before


def test_variables_that_add_name_the_certificate_and_those_that_replace_name_the_bundle() -> None:
    told = trust.trust_variables("/run/keyswap")
    assert told.keys() == trust.TRUST_VARIABLES.keys()
    assert told["NODE_EXTRA_CA_CERTS"] == "/run/keyswap/ca.pem"
    assert told["SSL_CERT_FILE"] == "/run/keyswap/bundle.pem"
    for name, effect in trust.TRUST_VARIABLES.items():
        assert told[name].endswith({"adds": "/ca.pem", "replaces": "/bundle.pem"}[effect])


def test_a_relative_directory_is_told_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert trust.trust_variables(Path("certs"))["PIP_CERT"] == str(tmp_path / "certs" / "bundle.pem")
