"""`keyswap ca`: made once, shown without its key, replaced on request."""

import stat
from pathlib import Path

import pytest
from cryptography import x509

from cli.conftest import Run


def certificates(file: Path) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(file.read_bytes())


def blocks(file: Path) -> set[str]:
    """Its certificates, unread: some of the system's roots are odd."""
    return {
        "".join(text.split("-----END")[0].split()) for text in file.read_text().split("-----BEGIN CERTIFICATE-----")[1:]
    }


def test_init_makes_it_and_says_where(run: Run, home: Path) -> None:
    done = run("ca", "init")
    assert done.code == 0
    assert str(home / "ca" / "ca.pem") in done.out
    assert "PRIVATE KEY" not in done.out
    assert stat.S_IMODE((home / "ca").stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "ca" / "mitmproxy-ca.pem").stat().st_mode) == 0o600


def test_init_never_overwrites(run: Run, home: Path) -> None:
    run("ca", "init")
    before = (home / "ca" / "mitmproxy-ca.pem").read_bytes()
    said = run("ca", "init").failed()
    assert "keyswap ca rotate" in said or "already" in said
    assert (home / "ca" / "mitmproxy-ca.pem").read_bytes() == before


def test_show_tells_what_openssl_would(run: Run, home: Path) -> None:
    assert "keyswap ca init" in run("ca", "show").failed()
    made = run("ca", "init", "--json").json
    shown = run("ca", "show", "--json").json
    assert shown == made
    [certificate] = certificates(home / "ca" / "ca.pem")
    assert (
        shown["fingerprint"].replace(":", "").lower()
        == certificate.fingerprint(
            certificate.signature_hash_algorithm  # type: ignore[arg-type]
        ).hex()
    )
    assert shown["problems"] == []
    assert "SHA-256" in run("ca", "show").out


def test_name_constraints_come_from_hosts_or_a_policy(run: Run, home: Path, policy: Path) -> None:
    made = run("ca", "init", "--permit", "a.example.com", "--constrain-to", str(policy), "--json").json
    assert made["permitted"] == ["a.example.com", "api.demo.example", "other.example.com"]
    [certificate] = certificates(home / "ca" / "ca.pem")
    constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    assert "a.example.com" in run("ca", "show").out


@pytest.mark.parametrize("days", ["0", "-1", "100000", "many"])
def test_a_lifetime_is_years_not_decades(run: Run, days: str) -> None:
    assert run("ca", "init", "--days", days).failed()


def test_bundle_holds_the_systems_roots_and_ours(run: Run, home: Path) -> None:
    run("ca", "init")
    (home / "ca" / "bundle.pem").unlink()
    done = run("ca", "bundle")
    assert done.out == f"{home / 'ca' / 'bundle.pem'}\n"
    found = blocks(home / "ca" / "bundle.pem")
    assert len(found) > 50
    assert blocks(home / "ca" / "ca.pem") < found


def test_rotate_keeps_the_old_one_trusted_for_a_while(run: Run, home: Path) -> None:
    run("ca", "init")
    [old] = certificates(home / "ca" / "ca.pem")
    assert run("ca", "rotate").code == 0
    trusted = certificates(home / "ca" / "ca.pem")
    assert old in trusted
    assert len(trusted) == 2
    assert blocks(home / "ca" / "ca.pem") < blocks(home / "ca" / "bundle.pem")
    run("ca", "rotate", "--lost-key")
    [only] = certificates(home / "ca" / "ca.pem")
    assert only not in trusted


def test_rotate_of_none_is_told(run: Run) -> None:
    assert "keyswap ca init" in run("ca", "rotate").failed()


def test_a_passphrase_is_read_from_where_it_is_said_to_be(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "PHRASE" in run("ca", "init", "--passphrase", "env:PHRASE").failed()
    said = run("ca", "init", "--passphrase", "the-passphrase-itself").failed()
    assert "the-passphrase-itself" not in said
    monkeypatch.setenv("PHRASE", "a long enough passphrase")
    done = run("ca", "init", "--passphrase", "env:PHRASE")
    assert done.code == 0
    assert "a long enough passphrase" not in done.out + done.err
    assert b"ENCRYPTED" in (home / "ca" / "mitmproxy-ca.pem").read_bytes()


def test_init_for_a_state_directory_that_is_named_makes_it_there(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkout's own certs/ stands in for the default place only."""
    monkeypatch.delenv("KEYSWAP_CERTS")
    named = tmp_path / "state"
    assert run("ca", "init", "--state-dir", str(named)).code == 0
    assert (named / "ca" / "ca.pem").exists()
    assert str(named / "ca") in run("ca", "show", "--state-dir", str(named)).out
