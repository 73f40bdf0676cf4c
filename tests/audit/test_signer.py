"""The key that signs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from keyswap.audit.signer import KEY, PUB, Signer, Verifier
from keyswap.errors import AuditError


def test_S45_the_key_is_made_once_with_0600_and_its_public_half_beside_it(tmp_path: Path) -> None:
    signer = Signer.open(tmp_path)
    assert (tmp_path / KEY).stat().st_mode & 0o777 == 0o600
    assert Signer.open(tmp_path).key_id == signer.key_id == Verifier.open(tmp_path).key_id
    assert sorted(path.name for path in tmp_path.iterdir()) == [KEY, PUB]


def test_a_signature_holds_for_its_statement_only(tmp_path: Path) -> None:
    signer = Signer.open(tmp_path)
    signature = signer.sign(b"one")
    verifier = Verifier.open(tmp_path)
    assert verifier.valid(b"one", signature)
    assert not verifier.valid(b"two", signature)
    assert not verifier.valid(b"one", "")
    assert not verifier.valid(b"one", "not base64\u20ac")
    assert not verifier.valid(b"one", signature[:-8])


def test_many_processes_that_start_together_take_one_key(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from keyswap.audit.signer import Signer; print(Signer.open(Path(sys.argv[1])).key_id)"  # noqa: E501
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    told = {process.communicate(timeout=50)[0] for process in running}
    assert told == {f"{Verifier.open(tmp_path).key_id}\n"}
    assert len(list(tmp_path.iterdir())) == 2


def test_whoever_comes_second_in_a_race_keeps_the_first_ones_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link
    first: list[str] = []

    def slow(source: Path, target: Path) -> None:
        if not first:
            first.append("")
            first[0] = Signer.open(tmp_path).key_id
        link(source, target)

    monkeypatch.setattr(os, "link", slow)
    assert Signer.open(tmp_path).key_id == first[0]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    Signer.open(tmp_path)
    (tmp_path / KEY).chmod(0o644)
    with pytest.raises(AuditError, match=r"open to others .*: chmod 600"):
        Signer.open(tmp_path)


@pytest.mark.parametrize("content", [b"", b"junk"])
def test_a_file_that_holds_no_key_is_refused_and_not_quoted(tmp_path: Path, content: bytes) -> None:
    Signer.open(tmp_path)
    (tmp_path / PUB).write_bytes(content)
    with pytest.raises(AuditError, match="holds no Ed25519 public key"):
        Verifier.open(tmp_path)
    (tmp_path / KEY).write_bytes(content)
    with pytest.raises(AuditError, match="holds no Ed25519 key"):
        Signer.open(tmp_path)


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / KEY).touch(0o600)
    (tmp_path / KEY).write_bytes(pem)
    with pytest.raises(AuditError, match="holds no Ed25519 key"):
        Signer.open(tmp_path)


def test_S45_two_halves_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Signer.open(tmp_path / name)
    (tmp_path / "a" / PUB).write_bytes((tmp_path / "b" / PUB).read_bytes())
    with pytest.raises(AuditError, match="is not the public half"):
        Signer.open(tmp_path / "a")


def test_a_lost_public_half_is_written_again(tmp_path: Path) -> None:
    key_id = Signer.open(tmp_path).key_id
    (tmp_path / PUB).unlink()
    assert Signer.open(tmp_path).key_id == key_id == Verifier.open(tmp_path).key_id


def test_a_state_directory_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match=r"cannot open .*audit\.key \(ENOENT\)"):
        Signer.open(tmp_path / "none")
    with pytest.raises(AuditError, match=r"cannot read .*audit\.pub \(ENOENT\)"):
        Verifier.open(tmp_path / "none")


def test_a_public_half_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Signer.open(tmp_path)
    (tmp_path / PUB).unlink()
    monkeypatch.setattr(os, "link", _no_space)
    with pytest.raises(AuditError, match=r"cannot write .*audit\.pub \(ENOSPC\)"):
        Signer.open(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [KEY]


def _no_space(*_: object) -> None:
    raise OSError(28, "No space left on device")
