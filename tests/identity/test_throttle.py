"""S39: brute force is slowed per source."""

import pytest

from identity.conftest import Clock
from keyswap.identity.throttle import FREE, LONGEST_HOLD, MOST_SOURCES, Throttle


@pytest.fixture
def throttle(clock: Clock) -> Throttle:
    return Throttle(clock)


def guess(throttle: Throttle, times: int, source: str = "10.0.0.1") -> list[float]:
    return [throttle.failed(source) for _ in range(times)]


def test_S39_who_never_failed_is_not_slowed(throttle: Throttle) -> None:
    assert not throttle.slowed("10.0.0.1")


def test_S39_the_first_wrong_tokens_are_answered_at_once(throttle: Throttle) -> None:
    assert guess(throttle, FREE) == [0.0] * FREE


def test_S39_the_next_ones_are_held_back_longer_and_longer(throttle: Throttle) -> None:
    guess(throttle, FREE)
    assert throttle.slowed("10.0.0.1")
    held = guess(throttle, 100)
    assert held[:3] == [0.25, 0.5, 0.75]
    assert held == sorted(held)
    assert held[-1] == LONGEST_HOLD


def test_S39_only_the_source_that_guesses_is_slowed(throttle: Throttle) -> None:
    guess(throttle, 100)
    assert not throttle.slowed("10.0.0.2")
    assert guess(throttle, 1, "10.0.0.2") == [0.0]


def test_S39_a_source_recovers_within_minutes_whatever_it_did(throttle: Throttle, clock: Clock) -> None:
    guess(throttle, 10_000)
    clock.forward(300)
    assert not throttle.slowed("10.0.0.1")
    assert guess(throttle, 1) == [0.0]


def test_S39_a_patient_guesser_gets_ten_a_minute(throttle: Throttle, clock: Clock) -> None:
    guess(throttle, FREE)
    for _ in range(20):
        clock.forward(6.0)
        assert guess(throttle, 1) == [0.0]
    clock.forward(5.0)
    assert guess(throttle, 1)[0] > 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.0.0.1", "::ffff:10.0.0.1", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::1", True),
        ("junk", "junk", True),
        ("junk", "trash", False),
    ],
)
def test_S39_a_source_is_what_one_machine_is_given(throttle: Throttle, one: str, other: str, same: bool) -> None:
    guess(throttle, FREE, one)
    assert throttle.slowed(other) is same


def test_S38_memory_is_bounded_and_the_quiet_are_forgotten_first(throttle: Throttle) -> None:
    guess(throttle, FREE, "quiet")
    guess(throttle, FREE, "busy")
    for number in range(MOST_SOURCES + 5):
        throttle.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
        throttle.failed("busy")
    assert not throttle.slowed("quiet")
    assert throttle.slowed("busy")
    assert len(throttle._marks) == MOST_SOURCES
