"""How long a session lives."""

import pytest

from keyswap.errors import IdentityError
from keyswap.identity.ttl import checked_ttl, parse_ttl


@pytest.mark.parametrize(
    ("text", "seconds"), [("1s", 1), ("90s", 90), ("15m", 900), ("24h", 86400), ("30d", 2592000), ("720h", 2592000)]
)
def test_a_time_to_live_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert parse_ttl(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "h", "24", "24 h", " 24h", "24h\n", "24H", "1.5h", "-1h", "+1h", "1h30m", "1w", "٣h", "0s", "31d", "721h",
     "9" * 9 + "d", "9" * 5000 + "d", "1e3s", "inf"],
)  # fmt: skip
def test_S39_anything_else_is_refused(text: str) -> None:
    with pytest.raises(IdentityError, match="write for example 90s, 15m, 24h or 30d"):
        parse_ttl(text)


@pytest.mark.parametrize("seconds", [0.0, 0.999, -5.0, 30 * 86400 + 1.0, float("inf"), float("nan")])
def test_S39_a_session_lives_for_a_second_at_least_and_30_days_at_most(seconds: float) -> None:
    with pytest.raises(IdentityError):
        checked_ttl(seconds)
    assert [checked_ttl(1.0), checked_ttl(30 * 86400.0)] == [1.0, 2592000.0]
