"""The values a credential has had: S26, S47."""

import hashlib

from keyswap.credentials.history import KEEP, History
from keyswap.secret import Secret


def history(*values: bytes, used: bool = True) -> History:
    made = History(lambda value: hashlib.sha256(value).hexdigest())
    for value in values:
        made.adopt(Secret(value), 0.0)
        made.used = used
    return made


def recent(history: History, now: float) -> list[bytes]:
    return [secret.reveal() for secret in history.recent(now)]


def test_nothing_comes_of_nothing() -> None:
    empty = history()
    assert empty.latest is None
    assert empty.recent(0.0) == ()
    empty.retire(0.0)
    assert empty.recent(1.0) == ()


def test_a_new_value_is_a_new_version_and_the_same_one_is_not() -> None:
    seen = history(b"a", b"a", b"b", b"a")
    assert seen.latest is not None
    assert seen.latest.version == 3


def test_S26_old_values_are_remembered_for_a_day() -> None:
    seen = history(b"a", b"b")
    assert recent(seen, 1.0) == [b"b", b"a"]
    assert recent(seen, KEEP - 1) == [b"b", b"a"]
    assert recent(seen, KEEP) == [b"b"]


def test_a_value_that_was_never_released_is_not_remembered() -> None:
    assert recent(history(b"a", b"b", used=False), 1.0) == [b"b"]


def test_a_value_that_comes_back_is_there_once_and_still_counts_as_released() -> None:
    seen = history(b"a", b"b", b"a")
    assert recent(seen, 1.0) == [b"a", b"b"]
    seen.used = False
    seen.adopt(Secret(b"b"), 5.0)
    assert seen.used
    seen.adopt(Secret(b"c"), 6.0)
    assert recent(seen, 7.0) == [b"c", b"b"]


def test_S26_a_retired_value_is_remembered_and_its_version_not_given_again() -> None:
    seen = history(b"a")
    seen.retire(10.0)
    assert recent(seen, 11.0) == [b"a"]
    assert recent(seen, 10.0 + KEEP) == []
    seen.adopt(Secret(b"b"), 20.0)
    assert seen.latest is not None
    assert seen.latest.version == 2


def test_a_retired_value_may_be_taken_up_again_as_the_same_version() -> None:
    seen = history(b"a")
    seen.retire(10.0)
    seen.adopt(Secret(b"a"), 20.0)
    assert seen.used
    assert seen.latest is not None
    assert seen.latest.version == 1
    assert recent(seen, 10.0 + KEEP) == [b"a"]


def test_the_same_values_are_the_same_tuple() -> None:
    """Whoever compiles a masker from it can tell by identity that nothing changed."""
    seen = history(b"a", b"b")
    before = seen.recent(1.0)
    assert seen.recent(2.0) is before
    seen.adopt(Secret(b"b"), 3.0)
    assert seen.recent(3.0) is before
    seen.adopt(Secret(b"c"), 4.0)
    assert seen.recent(5.0) is not before
