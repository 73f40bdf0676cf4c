"""Standing sessions: those the policy names."""

from ipaddress import ip_network

import pytest

from keyswap.errors import IdentityError
from keyswap.exchange import Session, SessionId
from keyswap.identity.standing import Network, Standing, token_problem

TOKEN = "Zm9yIHRlc3RzIG9ubHkgMQ"
OTHER = "b25seSBmb3IgdGVzdHMgMg"


def networks(*texts: str) -> tuple[Network, ...]:
    return tuple(map(ip_network, texts))


def name(session: Session | None) -> str | None:
    return session.id if session else None


def test_without_entries_nobody_is_known() -> None:
    empty = Standing([])
    assert empty.by_source("127.0.0.1") is empty.by_token(TOKEN) is empty.by_token("") is None


def test_S39_a_network_is_a_session() -> None:
    standing = Standing([("ci", "reader", networks("172.20.0.0/24"), None)])
    assert standing.by_source("172.20.0.5") == Session(SessionId("ci"), "reader", b"standing:ci", standing=True)
    assert standing.by_source("172.20.1.5") is standing.by_source("::1") is standing.by_source("junk") is None


def test_the_most_specific_network_decides() -> None:
    standing = Standing(
        [
            ("all", "default", networks("0.0.0.0/0", "::/0"), None),
            ("one", "default", networks("10.0.0.7/32"), None),
            ("some", "default", networks("10.0.0.0/8", "fd00::/8"), None),
        ]
    )
    asked = ["10.0.0.7", "10.0.0.8", "11.0.0.1", "fd00::1", "2001:db8::1", "::ffff:10.0.0.7", "fe80::1%eth0"]
    assert [name(standing.by_source(ip)) for ip in asked] == ["one", "some", "all", "some", "all", "one", "all"]


def test_S39_a_token_is_a_session() -> None:
    standing = Standing([("box", "default", (), TOKEN), ("other", "default", (), OTHER)])
    assert [name(standing.by_token(token)) for token in (TOKEN, OTHER, TOKEN + "a", TOKEN[:-1], TOKEN.lower(), "")] == [
        "box",
        "other",
        None,
        None,
        None,
        None,
    ]
    assert standing.by_source("127.0.0.1") is None


def test_S39_a_token_with_networks_counts_only_from_there() -> None:
    standing = Standing([("box", "default", networks("10.0.0.0/8"), TOKEN)])
    assert name(standing.by_token(TOKEN, "10.1.2.3")) == name(standing.by_token(TOKEN, "::ffff:10.1.2.3")) == "box"
    assert standing.by_token(TOKEN, "11.0.0.1") is standing.by_token(TOKEN) is standing.by_token(TOKEN, "junk") is None
    assert standing.by_source("10.1.2.3") is None


def test_S32_a_session_lives_as_long_as_the_policy_names_it_so() -> None:
    session = Standing([("box", "default", (), TOKEN)]).by_token(TOKEN)
    assert session
    assert Standing([("box", "default", (), OTHER)]).alive(session)
    assert not Standing([("box", "reader", (), TOKEN)]).alive(session)
    assert not Standing([]).alive(session)


def test_S40_a_minted_session_of_the_same_name_is_another_one() -> None:
    assert not Standing([("box", "default", (), TOKEN)]).alive(Session(SessionId("box"), "default", b"seed"))


def test_S18_a_standing_seed_is_its_name() -> None:
    """The same after a restart and with another token, so that placeholders stay; another one for each name."""
    found = [
        Standing([(name, "default", (), token)]).by_token(token)
        for name, token in [("a", TOKEN), ("a", OTHER), ("b", TOKEN)]
    ]
    assert [session and session.seed for session in found] == [b"standing:a", b"standing:a", b"standing:b"]


@pytest.mark.parametrize(
    ("token", "problem"),
    [
        ("", "is empty"),
        ("a1B2c3D4e5F6g7H", "is shorter than 16 characters"),
        ("a1B2c3D4e5F6g7H8 ", "cannot be presented"),
        ("a1B2c3D4e5F6g7Hé", "cannot be presented"),
        ("a1B2c3D4e5F6g7H\n", "cannot be presented"),
        ("a1B2c3D4" * 200, "cannot be presented"),
        ("a" * 64, "is easily guessed"),
        ("abcabcabcabcabcabc", "is easily guessed"),
        ("changemechangeme", "is easily guessed"),
        ("CHANGE-ME-PASSWORD", "is easily guessed"),
        ("keyswap-default-token", "is easily guessed"),
        ("your-token-here-1234", "is easily guessed"),
        ("0123456789abcdef", "is easily guessed"),
    ],
)
def test_S39_a_weak_token_is_refused_and_not_quoted(token: str, problem: str) -> None:
    with pytest.raises(IdentityError, match=f"the token of session box {problem}") as caught:
        Standing([("box", "default", (), token)])
    assert not token or token not in str(caught.value)


@pytest.mark.parametrize("token", [TOKEN, "a1B2c3D4e5F6g7H8", "correct-horse-battery-staple"])
def test_a_token_of_16_characters_will_do(token: str) -> None:
    assert token_problem(token) is None


def test_S39_two_sessions_with_one_token_are_refused() -> None:
    with pytest.raises(IdentityError, match="session b has the token of session a") as caught:
        Standing([("a", "default", (), TOKEN), ("b", "reader", networks("10.0.0.0/8"), TOKEN)])
    assert TOKEN not in str(caught.value)


def test_two_sessions_of_one_network_are_refused() -> None:
    with pytest.raises(IdentityError, match=r"network 10\.0\.0\.0/8 of session b is another session's"):
        Standing([("a", "default", networks("10.0.0.0/8"), None), ("b", "default", networks("10.0.0.0/8"), None)])


def test_a_session_that_nobody_can_have_is_refused() -> None:
    with pytest.raises(IdentityError, match="session a has neither a source nor a token"):
        Standing([("a", "default", (), None)])


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(IdentityError) as caught:
        Standing([("a", "default", (), ""), ("b", "default", (), None), ("b", "default", (), TOKEN)])
    assert "the token of session a is empty" in caught.value.what
    assert "session b has neither" in caught.value.what
    assert "session b is named twice" in caught.value.what


def test_S42_nothing_about_standing_sessions_prints_a_token_or_seed() -> None:
    standing = Standing([("box", "default", (), TOKEN)])
    assert TOKEN not in repr(vars(standing))
    assert "standing:box" not in repr(standing.by_token(TOKEN))
