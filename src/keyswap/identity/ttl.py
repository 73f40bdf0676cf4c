"""How long a minted session lives. All values are seconds."""

import math
import re

from keyswap.errors import IdentityError

DEFAULT_TTL = 24 * 3600.0
MIN_TTL = 1.0
MAX_TTL = 30 * 24 * 3600.0

_FORM = re.compile(r"([0-9]{1,9})([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}
_TODO = "write for example 90s, 15m, 24h or 30d, between 1s and 30d"


def parse_ttl(text: str) -> float:
    """The seconds that `90s`, `15m`, `24h` or `30d` stand for; raises IdentityError for anything else."""
    found = _FORM.fullmatch(text)
    if not found:
        raise IdentityError("a time to live is a whole number and a unit", _TODO)
    return checked_ttl(float(int(found[1]) * _UNITS[found[2]]))


def checked_ttl(seconds: float) -> float:
    """`seconds`, if a session may live that long; raises IdentityError otherwise."""
    if math.isnan(seconds) or not MIN_TTL <= seconds <= MAX_TTL:
        raise IdentityError("a session lives for at least one second and at most 30 days", _TODO)
    return seconds
