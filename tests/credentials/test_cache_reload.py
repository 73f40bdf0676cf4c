"""The keyring at the start and when its sources are replaced: S22, S26, S31, S43."""

from pathlib import Path

import pytest

from credentials.conftest import Clock, Wall
from credentials.keys import NAME, NEW, OLD, OTHER, env, in_place, recent, released
from credentials.shown import everything
from keyswap.credentials import source_for
from keyswap.credentials.cache import CredentialErrors, Keyring
from keyswap.credentials.file import FileSource
from keyswap.credentials.interface import Source, Stamp
from keyswap.errors import CredentialError
from keyswap.exchange import CredentialName


def test_S31_all_problems_are_told_at_once(tmp_path: Path, clock: Clock) -> None:
    sources = {
        CredentialName("a"): source_for("env:MISSING", environ={}),
        CredentialName("b"): source_for("env:EMPTY", environ={"EMPTY": ""}),
        CredentialName("c"): source_for(f"file:{tmp_path}/missing"),
        CredentialName("d"): source_for("env:BAD", environ={"BAD": "hunter2\nx"}),
        CredentialName("e"): source_for("env:GOOD", environ={"GOOD": "sk-12345678"}),
    }
    with pytest.raises(CredentialErrors) as caught:
        Keyring(sources, fingerprint_key=b"", clock=clock).check()
    assert [problem.credential for problem in caught.value.problems] == ["a", "b", "c", "d"]
    assert str(caught.value).splitlines() == [
        "credential a (env:MISSING): the variable MISSING is not set: set MISSING where keyswap is started",
        "credential b (env:EMPTY): the value is empty: store the key there",
        f"credential c (file:{tmp_path}/missing): {tmp_path}/missing does not exist: write the key there",
        "credential d (env:BAD): the value holds a line break: store the key alone, on one line",
    ]
    assert "hunter2" not in everything(caught.value)


def test_a_problem_without_advice_prints_without_a_colon_at_its_end(clock: Clock) -> None:
    class Broken:
        name = "broken:"

        def stamp(self) -> Stamp:
            raise CredentialError("it is broken")

        def read(self) -> bytes:
            return b""

    with pytest.raises(CredentialErrors, match=r"^credential openai \(broken:\): it is broken$"):
        Keyring({NAME: Broken()}, fingerprint_key=b"", clock=clock).check()


def test_S31_an_optional_credential_may_be_absent_and_is_refused_when_asked_for(clock: Clock) -> None:
    sources: dict[CredentialName, Source] = {NAME: source_for("env:KEY", environ={})}
    keyring = Keyring(sources, fingerprint_key=b"", clock=clock)
    keyring.check(optional={NAME})
    assert keyring.recent(NAME) == ()
    with pytest.raises(CredentialError, match="KEY is not set"):
        keyring.current(NAME)


def test_S43_an_optional_file_that_others_write_is_still_a_start_error(key: Path, keyring: Keyring) -> None:
    key.chmod(0o666)
    keyring.replace({NAME: FileSource(str(key))})
    sources: dict[CredentialName, Source] = {OTHER: FileSource(str(key))}
    with pytest.raises(CredentialErrors, match="writable by others"):
        keyring.replace(sources, optional={OTHER})


def test_an_optional_file_is_found_when_it_appears(key: Path, clock: Clock, wall: Wall) -> None:
    key.unlink()
    keyring = Keyring({NAME: FileSource(str(key), wall)}, fingerprint_key=b"", clock=clock)
    keyring.check({NAME})
    by_rename_into = key.with_name("draft")
    by_rename_into.write_bytes(NEW)
    by_rename_into.chmod(0o600)
    by_rename_into.replace(key)
    clock.forward(0.06)
    assert released(keyring) == (NEW, 1)


def test_the_check_looks_again(keyring: Keyring, key: Path, clock: Clock) -> None:
    in_place(key, NEW)
    keyring.check()
    assert released(keyring) == (NEW, 2)


def test_S25_warnings_name_credential_and_source(clock: Clock) -> None:
    keyring = Keyring(env(openai="Bearer sk-1"), fingerprint_key=b"", clock=clock)
    assert len(keyring.warnings) == 2
    assert all(line.startswith("credential openai (env:KEY): the value ") for line in keyring.warnings)
    assert "sk-1" not in str(keyring.warnings)


def test_a_reload_keeps_the_version_of_a_value_that_stays(keyring: Keyring, key: Path, clock: Clock) -> None:
    before = keyring.current(NAME)
    keyring.replace({NAME: FileSource(str(key))}, optional=())
    assert keyring.current(NAME) is before
    keyring.replace(env(openai=OLD.decode()), optional=())
    assert keyring.current(NAME) is before


def test_a_reload_counts_on_from_the_old_version(keyring: Keyring) -> None:
    keyring.current(NAME)
    keyring.replace(env(openai="sk-env-12345678"))
    assert released(keyring) == (b"sk-env-12345678", 2)
    assert recent(keyring) == [b"sk-env-12345678", OLD]


def test_S26_a_removed_credential_is_still_searched_for_and_never_released(keyring: Keyring, clock: Clock) -> None:
    keyring.current(NAME)
    keyring.replace({})
    with pytest.raises(CredentialError):
        keyring.current(NAME)
    assert recent(keyring) == [OLD]
    clock.forward(24 * 3600)
    assert recent(keyring) == []


def test_S31_a_reload_with_a_problem_changes_nothing(keyring: Keyring, clock: Clock) -> None:
    keyring.current(NAME)
    sources = {**env(openai="sk-env-12345678"), OTHER: source_for("env:MISSING", environ={})}
    with pytest.raises(CredentialErrors, match="credential github"):
        keyring.replace(sources, optional={NAME})
    assert released(keyring) == (OLD, 1)
    assert recent(keyring) == [OLD]
    keyring.replace(sources, optional={OTHER})
    assert released(keyring) == (b"sk-env-12345678", 2)


def test_a_reload_in_the_middle_of_a_rotation_goes_through(
    keyring: Keyring, key: Path, clock: Clock, wall: Wall
) -> None:
    in_place(key, b"")
    clock.forward(0.06)
    keyring.replace({NAME: FileSource(str(key), wall)}, optional=())
    assert released(keyring) == (OLD, 1)
    in_place(key, NEW)
    clock.forward(0.06)
    assert released(keyring) == (NEW, 2)


def test_a_reload_takes_a_variable_as_it_is_now(keyring: Keyring) -> None:
    keyring.replace(env(openai=OLD.decode()))
    keyring.replace(env(openai=NEW.decode()))
    assert released(keyring) == (NEW, 2)
    with pytest.raises(CredentialErrors, match="KEY is not set"):
        keyring.replace({NAME: source_for("env:KEY", environ={})}, optional=())
    assert released(keyring) == (NEW, 2)


def test_a_new_source_without_a_value_does_not_fall_back_on_the_old_one(keyring: Keyring, clock: Clock) -> None:
    keyring.current(NAME)
    keyring.replace({NAME: source_for("env:MISSING", environ={})})
    with pytest.raises(CredentialError, match="MISSING is not set"):
        keyring.current(NAME)
    assert recent(keyring) == [OLD]
    clock.forward(24 * 3600)
    assert recent(keyring) == []
