"""The assertions of the end-to-end tests fail where they should."""

from pathlib import Path

import pytest

from e2e.check import Key, assert_no_session_token, assert_one_by_one, assert_swapped, files_holding
from support.clients import Clients
from support.provider import Provider
from support_tests.conftest import KEY

URL = "https://api.openai.com/echo"


def test_pieces_that_come_together_are_not_one_by_one() -> None:
    assert_one_by_one([0.0, 0.05, 0.1, 0.15, 0.3], 0.05)
    for clumped in ([0.0, 0.3, 0.301, 0.302, 0.303, 0.304], [0.0, 0.001, 0.002, 0.003, 0.3], [0.0, 0.05]):
        with pytest.raises(AssertionError):
            assert_one_by_one(clumped, 0.05)


def test_a_key_that_comes_back_is_found(provider: Provider, clients: Clients) -> None:
    """The tunnel swaps nothing, so that the client sees what the provider shows."""
    outcome = clients.curl(URL, "-H", f"x-api-key: {KEY.decode()}")
    with pytest.raises(AssertionError):
        assert_swapped(provider, outcome, Key(KEY, "placeholder"), clients.home)


@pytest.mark.parametrize(
    "leak",
    [
        ("-H", "x-other: placeholder"),
        ("-d", "a placeholder in the body"),
        ("-u", "placeholder:x"),
        ("-H", "referer: /?q=placeholder"),
    ],
)
def test_a_placeholder_that_leaves_is_found(provider: Provider, clients: Clients, leak: tuple[str, str]) -> None:
    provider.tells = False
    outcome = clients.curl("-o", "/dev/null", URL, "-H", "x-api-key: other", *leak)
    with pytest.raises(AssertionError):
        assert_swapped(provider, outcome, Key(b"other", "placeholder"), clients.home)


def test_a_session_token_that_leaves_is_found(provider: Provider, clients: Clients) -> None:
    clients.curl(URL, "-H", "x-any: ks_token")
    with pytest.raises(AssertionError):
        assert_no_session_token(provider, "ks_token")
    provider.recorder.forget()
    clients.curl(URL, "-H", "Proxy-Thing: 1")
    with pytest.raises(AssertionError):
        assert_no_session_token(provider, "ks_token")


def test_a_file_with_the_key_is_found(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "file").write_bytes(b"..." + KEY)
    assert files_holding(tmp_path, KEY) == [tmp_path / "dir" / "file"]


def test_what_comes_back_has_the_length_of_the_real_key() -> None:
    assert Key(b"12345678", "abc").returned == "abc*****"
    assert Key(b"12345678", "abcdefghijk").returned == "abcdefgh"
