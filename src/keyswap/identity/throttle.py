"""The brake on guessing tokens, one for each source address.

Theory of operation. Every source has a level. A wrong token raises it by one, and it falls by one every six seconds.
Below ten, wrong tokens are answered at once; above, each answer is held back a little longer, up to five seconds. Only
the answer to a wrong token is slowed: tokens are looked up before the brake is asked, so a valid session is never
locked out, not even behind the address of whoever guesses. What makes guessing hopeless is the 256 bits of a token;
what the brake saves is the log, and the tokens an admin chose.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network

from keyswap.identity.source import client_address

FREE = 10
"""Wrong tokens that are answered at once."""
SECONDS_PER_LEVEL = 6.0
HOLD_STEP = 0.25
"""Seconds by which each further answer is held back longer."""
LONGEST_HOLD = 5.0
HIGHEST = 50.0
"""Where the level stops, so that a source recovers within minutes."""
MOST_SOURCES = 4096
"""Sources remembered; the one that was quiet longest is forgotten first."""


@dataclass(slots=True)
class _Mark:
    level: float
    at: float


class Throttle:
    """Counts wrong tokens per source. `clock` tells seconds that never go back.

    A request without credentials is no failed attempt (S39): the caller reports only tokens that were looked up and
    not found. IPv6 sources count by their /64, which is what one machine is given.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._marks: OrderedDict[str, _Mark] = OrderedDict()

    def failed(self, source: str) -> float:
        """Count a wrong token from `source`; the seconds its answer should be held back, 0.0 for not at all."""
        key = _key(source)
        level = min(self._level(key) + 1, HIGHEST)
        self._marks[key] = _Mark(level, self._clock())
        self._marks.move_to_end(key)
        if len(self._marks) > MOST_SOURCES:
            self._marks.popitem(last=False)
        return min(max(0.0, level - FREE) * HOLD_STEP, LONGEST_HOLD)

    def slowed(self, source: str) -> bool:
        """Whether `source` has presented so many wrong tokens that another one would be held back."""
        return self._level(_key(source)) >= FREE

    def _level(self, key: str) -> float:
        mark = self._marks.get(key)
        return max(0.0, mark.level - (self._clock() - mark.at) / SECONDS_PER_LEVEL) if mark else 0.0


def _key(source: str) -> str:
    address = client_address(source)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, 64), strict=False))
    return str(address) if address else source[:64]
